"""The right person, each once, however their number is written: through the real operators and a real server."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import Any

import numpy
import pytest

from airflow_provider_omnichat.operators.omnichat import SendInviteBatchOperator, SendInviteOperator
from tests.support.airflow_harness import TaskRun, run_task
from tests.support.batch_tasks import counts, rows_in

TWO_WRITINGS = [
    pytest.param("+54 9 11 2345-6789", "+54 11 2345-6789", id="Argentina"),
    pytest.param("+55 11 96123-4567", "+55 11 6123-4567", id="Brazil"),
    pytest.param("+52 55 1234 5678", "+52 1 55 1234 5678", id="Mexico"),
    pytest.param("+229 01 95 12 34 56", "+229 95 12 34 56", id="Benin"),
    pytest.param("+41 79 302 67 27", "41793026727.0", id="a decimal tail"),
]

# Each send is another task: the same one would find its own earlier answers.
TASKS = itertools.count()


def send(*numbers: object, **given: Any) -> TaskRun:
    invites = [{"to": number} if not isinstance(number, dict) else number for number in numbers]
    fields = {
        "task_id": f"invite_{next(TASKS)}",
        "message": "Hi <link>",
        "retry_budget": 0,
        "on_empty": "succeed",
        **given,
    }
    return run_task(SendInviteBatchOperator(invites=invites, **fields))


@pytest.mark.parametrize(("new", "old"), TWO_WRITINGS)
def test_two_writings_in_one_list_are_one_person(at_sandbox, new, old):
    for first, second in ((new, old), (old, new)):
        before = len(at_sandbox.accepted)
        assert counts(send(first, second)) == {"accepted": 1, "duplicate": 1}
        assert len(at_sandbox.accepted) == before + 1


@pytest.mark.parametrize(("new", "old"), TWO_WRITINGS)
def test_an_opt_out_in_one_writing_holds_for_the_other(at_sandbox, new, old):
    assert counts(send(new, suppression=[old])) == {"suppressed": 1}
    assert counts(send(old, suppression=[{"to": new}])) == {"suppressed": 1}
    assert at_sandbox.requests_seen == 0


@pytest.mark.parametrize(("new", "old"), TWO_WRITINGS)
def test_a_campaign_knows_a_person_by_either_writing(at_sandbox, ledger, new, old):
    assert counts(send(new, campaign="spring", **ledger)) == {"accepted": 1}
    assert counts(send(old, campaign="spring", **ledger)) == {"duplicate": 1}
    single = SendInviteOperator(task_id="one", to=old, message="Hi <link>", campaign="autumn", retry_budget=0, **ledger)
    assert run_task(single).succeeded
    assert counts(send(new, campaign="autumn", **ledger)) == {"duplicate": 1}
    assert len(at_sandbox.accepted) == 2


@pytest.mark.parametrize(("new", "old"), TWO_WRITINGS)
def test_a_cap_counts_both_writings(at_sandbox, ledger, new, old):
    capped = {**ledger, "max_per_recipient": (1, "7d")}
    assert counts(send(new, campaign="spring", **capped)) == {"accepted": 1}
    assert counts(send(old, campaign="autumn", **capped)) == {"suppressed": 1}
    assert counts(send(old, campaign="winter", dry_run=True, **capped)) == {"suppressed": 1}
    assert len(at_sandbox.accepted) == 1


@pytest.mark.parametrize(("new", "old"), TWO_WRITINGS)
def test_both_writings_are_in_the_same_part_of_a_list(at_sandbox, new, old):
    found = [counts(send(new, old, partition=(part, 5))) for part in range(5)]
    assert sorted(map(len, found)) == [0, 0, 0, 0, 2]
    assert len(at_sandbox.accepted) == 1


@pytest.mark.parametrize(("new", "old"), TWO_WRITINGS)
def test_a_preview_calls_the_second_writing_a_duplicate(at_sandbox, ledger, new, old):
    assert counts(send(new, old, dry_run=True))["duplicate"] == 1
    assert counts(send(new, campaign="spring", **ledger)) == {"accepted": 1}
    assert counts(send(old, campaign="spring", dry_run=True, **ledger)) == {"duplicate": 1}


def test_what_is_sent_is_what_was_written_where_that_is_valid(at_sandbox):
    send("+54 9 11 2345-6789")
    send("+54 11 2345-6780")
    send("+52 1 55 1234 5678")
    assert [sms.to for sms in at_sandbox.accepted] == ["5491123456789", "541123456780", "525512345678"]


@pytest.mark.parametrize("written", [41793026727.0, numpy.float64(41793026727), numpy.int64(41793026727)])
def test_an_opt_out_of_a_data_frame_holds(at_sandbox, written):
    assert counts(send("+41 79 302 67 27", suppression=[written])) == {"suppressed": 1}
    assert counts(send(written, suppression=["+41793026727"])) == {"suppressed": 1}
    assert at_sandbox.requests_seen == 0


@pytest.mark.parametrize("sizes", [("DE", "1712345678.0", "491712345678"), ("IN", "9876543210.0", "919876543210")])
def test_a_national_number_with_a_tail_is_no_longer_number(at_sandbox, sizes):
    country, written, sent = sizes
    row = {"to": written, "country": country}
    opt_out = {"to": f"+{sent}", "country": country}
    assert counts(send(row, region_column="country", suppression=[opt_out])) == {"suppressed": 1}
    assert counts(send(row, region_column="country")) == {"accepted": 1}
    assert [sms.to for sms in at_sandbox.accepted] == [sent]


@pytest.mark.parametrize(
    "key", [1017, 1017.0, "1017", "1017.0", Decimal("1017.00"), numpy.float64(1017), numpy.int64(1017)]
)
def test_the_key_of_a_row_is_a_whole_number_whatever_a_data_frame_has_made_of_it(at_sandbox, tmp_path, key):
    row = {"to": "+41793026727", "id": key}
    assert counts(send(row, key_column="id", results_path=str(tmp_path))) == {"accepted": 1}
    assert [result.key for result in rows_in(tmp_path)] == ["1017"]


@pytest.mark.parametrize("key", ["1017.5", "A-1017.0", "01017.0", "1.2.0", "v1.0"])
def test_any_other_key_stays_as_it_is(at_sandbox, tmp_path, key):
    assert counts(send({"to": "+41793026727", "id": key}, key_column="id", results_path=str(tmp_path)))
    assert [result.key for result in rows_in(tmp_path)] == [key]


def test_a_row_that_names_its_country_is_not_sent_to_another_one(at_sandbox, tmp_path):
    rows = [
        {"to": "1 55 1234 5678", "country": "MX"},
        {"to": "447911123456", "country": "US"},
        {"to": "41793026727", "country": "DE"},
        {"to": "+447911123456", "country": "US"},
    ]
    run = send(*rows, region_column="country", default_region="GB", results_path=str(tmp_path))
    assert counts(run) == {"accepted": 2, "invalid": 2}
    assert sorted(sms.to for sms in at_sandbox.accepted) == ["447911123456", "525512345678"]
    reasons = [row.error for row in rows_in(tmp_path) if row.outcome == "invalid"]
    assert "is not a number of US" in str(reasons[0])
    assert "can be a number of DE and one of +41" in str(reasons[1])
