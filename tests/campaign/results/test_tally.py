"""Why rows did not go well, counted in bounded memory and without numbers."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import ReasonCode
from airflow_provider_omnichat.campaign.model.rows import Result
from airflow_provider_omnichat.campaign.results.tally import Tally
from tests.support.batch_tasks import number
from tests.support.reasons import why

REJECTED = why("The vendor rejected the invite", ReasonCode.REJECTED_BY_VENDOR)
DUPLICATE = why("again", ReasonCode.DUPLICATE_IN_LIST)


def row(position: int, outcome: Outcome, reason=None, key: str | None = None, name: str | None = None) -> Result:
    return Result(position, key, number(position), outcome, "", status_name=name, reason=reason)


def test_the_most_frequent_reasons_come_first_and_the_worst_outcome_before_them():
    tally = Tally()
    tally.add(row(1, Outcome.DUPLICATE, DUPLICATE))
    for position, name in enumerate(["REJECTED_SENDER", "REJECTED_DND", "REJECTED_DND"], 2):
        tally.add(row(position, Outcome.REJECTED, REJECTED, f"C-{position}", name))
    tally.add(row(5, Outcome.UNKNOWN, why("no answer in time"), "C-5"))
    tally.add(row(6, Outcome.ACCEPTED, None, "C-6", "PENDING_ENROUTE"))
    assert tally.reasons == [
        {"outcome": "unknown", "code": "read_timeout", "name": None, "count": 1, "first": ["C-5"]},
        {
            "outcome": "rejected",
            "code": "rejected_by_vendor",
            "name": "REJECTED_DND",
            "count": 2,
            "first": ["C-3", "C-4"],
        },
        {
            "outcome": "rejected",
            "code": "rejected_by_vendor",
            "name": "REJECTED_SENDER",
            "count": 1,
            "first": ["C-2"],
        },
        {"outcome": "duplicate", "code": "duplicate_in_list", "name": None, "count": 1, "first": [1]},
    ]
    assert tally.reason_lines() == [
        "1 in doubt: read timeout 1 (C-5)",
        "3 rejected: REJECTED_DND 2 (C-3, C-4), REJECTED_SENDER 1 (C-2)",
        "1 duplicate: duplicate in list 1 (row 1)",
    ]
    assert tally.manifest("c", None)["reasons"] == tally.reasons


def test_a_key_is_shown_in_one_line_without_what_a_terminal_obeys_and_without_its_number():
    tally = Tally()
    tally.add(row(1, Outcome.REJECTED, REJECTED, f"a\r\nINFO \x1b[31m\x9b\u202e {number(1)} b"))
    tally.add(row(2, Outcome.REJECTED, REJECTED, number(2)))
    assert tally.reasons[0]["first"] == ["a INFO [31m *** b", 2]


def test_memory_and_manifest_stay_small_whatever_the_vendor_names():
    tally = Tally()
    for position in range(1, 5001):
        tally.add(row(position, Outcome.REJECTED, REJECTED, "k" * 500, f"NAME_{position}_{'x' * 500}"))
        tally.add(row(position, Outcome.INVALID, why("no", ReasonCode.NO_NUMBER), f"key {position}"))
    assert len(tally._kinds) <= 202
    assert len(json.dumps(tally.reasons)) < 5000
    assert tally.reasons[0]["count"] == 5000 - 200 + 1, "what has no room for its name is counted without it"
    assert sum(each["count"] for each in tally.reasons if each["outcome"] == "invalid") == 5000
    rejected, invalid = tally.reason_lines()
    assert rejected.startswith("5,000 rejected: rejected by vendor 4,801 (")
    assert rejected.endswith(", others 195")
    assert invalid == "5,000 invalid: no number 5,000 (key 1, key 2, key 3, key 4, key 5, ...)"


@pytest.mark.parametrize("key", ["+41792000007", "0792000007", "79 200 00 07", "0041792000007"])
def test_a_key_that_is_the_number_is_not_shown(key):
    tally = Tally()
    tally.add(row(7, Outcome.REJECTED, REJECTED, key, "call 41792000007"))
    assert tally.reasons[0]["first"] == [7]
    shown = json.dumps(tally.reasons) + "".join(tally.reason_lines()) + tally.causes(Outcome.REJECTED)
    assert "2000007" not in shown.replace(" ", "")


@pytest.mark.parametrize(("key", "shown"), [("7", "7"), ("00007", "00007"), ("12345678", "12345678"), ("a\nb", "a b")])
def test_any_other_key_is_shown_in_one_line(key, shown):
    tally = Tally()
    tally.add(row(7, Outcome.REJECTED, REJECTED, key))
    assert tally.reasons[0]["first"] == [shown]


def test_an_accepted_row_costs_nothing_more_than_its_count():
    counted: Any = SimpleNamespace(outcome=Outcome.ACCEPTED, message_count=2)  # of which nothing else can be read
    tally = Tally()
    tally.add(counted, True)
    assert (tally.rows, tally.sent_this_try, tally.segments, tally.reasons) == (1, 1, 2, [])
