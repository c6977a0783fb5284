"""Why rows were not accepted: in the manifest and at the end of the log, over retries and deferrals."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_omnichat.campaign.results.tally import Tally
from tests.support.airflow_harness import run_task
from tests.support.airflow_versions import HAS_STATE_STORE, needs_runner, needs_store
from tests.support.batch_tasks import batch, counts, number, people
from tests.support.send_windows import DAY, NIGHT, window


def reasons(run: Any) -> list[tuple[str, str, str | None, int, list[Any]]]:
    return [tuple(each.values()) for each in run.xcom["return_value"]["reasons"]]


def test_the_manifest_and_the_end_of_the_log_say_why(at_sandbox, capfd, caplog):
    caplog.set_level("INFO")
    at_sandbox.script("ok", "rejected:10", "rejected:52", "rejected:10", "ok")
    invites = [*people(6), {"to": "nobody", "name": "x", "id": "c9"}, {"to": f"+{number(0)}", "name": "x"}]
    run = run_task(batch(invites, key_column="id", concurrency=1, max_rejected_ratio=1.0))
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 3, "rejected": 3, "invalid": 1, "duplicate": 1}
    dnd, wrong, invalid, duplicate = reasons(run)
    assert (dnd[0], dnd[1], dnd[3], dnd[4]) == ("rejected", "rejected_by_vendor", 2, ["c1", "c3"])
    assert (wrong[0], wrong[3], wrong[4]) == ("rejected", 1, ["c2"])
    assert invalid == ("invalid", "not_a_number", None, 1, ["c9"])
    assert duplicate == ("duplicate", "duplicate_in_list", None, 1, [8])
    shown = capfd.readouterr()
    log = shown.out + shown.err + caplog.text
    assert f"3 rejected: {dnd[2]} 2 (c1, c3), {wrong[2]} 1 (c2)" in log
    assert "1 invalid: not a number 1 (c9)" in log
    assert number(1) not in json.dumps(run.xcom)


@needs_runner
def test_the_summary_is_one_line_with_doubts_first_also_when_the_task_is_red(at_sandbox):
    at_sandbox.script("ok", "drop-after", "rejected:10", "ok")
    run = run_task(batch([*people(1300), {"to": "nobody"}], concurrency=1))
    assert run.state == "failed"
    assert run.xcom["summary"] == "**1 in doubt**, **1,298 accepted**, 1 rejected, 1 invalid; 1,301 rows"
    empty = run_task(batch([], on_empty="succeed"))
    assert empty.xcom["summary"] == "nothing to do; 0 rows"


def test_the_summary_of_a_dry_run_says_that_nothing_was_sent(at_sandbox):
    run = run_task(batch([*people(3), {"to": "nobody"}], dry_run=True))
    assert run.xcom["summary"] == (
        "Dry run, nothing was sent: **3** people of 4 rows would be invited, about **3 SMS** to pay for. 1 is left out."
    )
    assert at_sandbox.requests_seen == 0


def test_what_has_no_outcome_is_in_the_summary():
    tally = Tally()
    assert tally.to_markdown(97) == "97 without an outcome; 0 rows"
    assert tally.to_markdown(None) == "the rest of the list not read; 0 rows"


@needs_store
@pytest.mark.parametrize("home", ["state store", "database"])
def test_a_retry_says_again_why_the_vendor_rejected_what_it_does_not_send_again(at_sandbox, ledger, home):
    at_sandbox.script("rejected:10", "401", "ok")
    store: dict[str, Any] = {}
    given = {"key_column": "id", "concurrency": 1, "max_rejected_ratio": 1.0, "retries": 1}
    given |= {} if home == "state store" else ledger
    first = run_task(batch(people(4), **given), store=store, retries=1)
    assert first.state == "up_for_retry"
    second = run_task(batch(people(4), **given), store=store, retries=1, try_number=2)
    assert second.succeeded, second.error
    assert reasons(second) == [each for each in reasons(first) if each[0] == "rejected"]
    assert reasons(second)[0][3:] == (1, ["c0"])
    assert at_sandbox.requests_seen == 5


def test_a_deferral_counts_no_reason_twice(at_sandbox, ledger):
    memory: dict[str, Any] = {} if HAS_STATE_STORE else ledger
    at_sandbox.script("rejected:10", "ok")
    night = {"to": f"+{number(50)}", "name": "x", "id": "c50", "zone": NIGHT}
    given = {"send_window": window(), "key_column": "id", "max_rejected_ratio": 1.0, **memory}
    store: dict[str, Any] = {}
    first = run_task(batch([*people(2, zone=DAY), night], concurrency=1, **given), store=store)
    assert first.state == "deferred", first.error
    assert [each[:2] + each[3:] for each in reasons(first)] == [
        ("rejected", "rejected_by_vendor", 1, ["c0"]),
        ("held", "outside_send_window", 1, ["c50"]),
    ]
    last = run_task(
        batch([*people(2, zone=DAY), {**night, "zone": DAY}], concurrency=1, **given),
        store=store,
        resume=first.deferral,
    )
    assert last.succeeded, last.error
    assert reasons(last) == reasons(first)[:1]
