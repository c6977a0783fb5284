"""The frequency cap, partitions and other rules by which a batch leaves people out, through the real operator."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.support.airflow_harness import run_task
from tests.support.batch_tasks import batch, counts, number, people, rows_in

# frequency cap


def test_the_frequency_cap_counts_over_campaigns(at_sandbox, ledger, tmp_path):
    for campaign in ("one", "two"):
        run = run_task(batch(people(3), campaign=campaign, **ledger))
        assert run.succeeded, run.error
    given = {"campaign": "three", "max_per_recipient": (2, "7d"), "results_path": str(tmp_path / "r"), **ledger}
    for _ in range(2):
        run = run_task(batch(people(5), **given))
        assert run.succeeded, run.error
        assert counts(run) == {"accepted": 2, "suppressed": 3}
    assert {row.error for row in rows_in(tmp_path / "r") if row.outcome == "suppressed"} == {
        "has got 2 or more invites in the last 7 days (max_per_recipient)"
    }
    assert at_sandbox.requests_seen == 8


# partition


def test_the_parts_of_a_list_send_to_each_person_once_whatever_is_run_again(at_sandbox, ledger):
    invites = [*people(60), *people(5), {"to": "nobody"}]
    told: Counter[str] = Counter()
    for part in range(4):
        for _ in range(2):
            task = batch(invites, task_id=f"part_{part}", partition=(part, 4), campaign="welcome", **ledger)
            run = run_task(task)
            assert run.succeeded, run.error
        told.update(counts(run))
    assert told == {"accepted": 60, "duplicate": 5, "invalid": 1}
    assert sorted(sms.to for sms in at_sandbox.accepted) == [number(i) for i in range(60)]


@pytest.mark.parametrize("given", [(4, 4), "1/4", [1], {"part": 1}])
def test_a_partition_that_is_none_stops_everything(at_sandbox, given):
    run = run_task(batch(people(3), partition=given))
    assert run.state == "failed"
    assert "partition: must be (part, parts)" in str(run.error)
    assert at_sandbox.requests_seen == 0


# when sending has stopped


def test_who_was_certainly_not_sent_to_by_another_task_is_no_duplicate_when_sending_has_stopped(at_sandbox, ledger):
    at_sandbox.script("401")
    given: dict[str, Any] = {"campaign": "welcome", "concurrency": 1, **ledger}
    first = run_task(batch(people(30), **given))
    assert counts(first) == {"not_sent": 30}
    at_sandbox.script("401")
    other = run_task(batch(people(30)[::-1], task_id="other", **given))
    assert counts(other) == {"not_sent": 30}
