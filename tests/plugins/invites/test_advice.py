"""The first line of a page: what to do now."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_omnichat.plugins.invites.advice import advice_for, advice_for_all
from airflow_provider_omnichat.plugins.invites.sending_tasks import SendingTask, TaskProgress

DIED = "The worker was killed or lost before it could say how the task ended."


def task(state: str, counts: dict[str, int], settled: dict[str, int] | None = None, **fields: Any) -> SendingTask:
    given = {"campaign": "welcome", "counts": counts, "rows": sum(counts.values()), "is_over": True, **fields}
    progress = TaskProgress.model_validate(given)
    return SendingTask("dag", "run", "send", -1, state, 1, None, None, progress, {}, settled=settled or {})


def said(of: SendingTask, may_settle: bool = True) -> str:
    return " ".join(advice_for(of, may_settle=may_settle).sentences)


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (task("success", {"accepted": 3}), "Nothing to do."),
        (task("running", {"accepted": 3, "unknown": 1}), "Nothing to do while the task is at work."),
        (
            task("failed", {"unknown": 11, "not_sent": 2848}),
            "11 in doubt: settle them below. 2,848 were not sent: Clear sends only these.",
        ),
        (
            task("up_for_retry", {"not_sent": 1}),
            "1 was not sent: the next try, which Airflow begins by itself, sends only these.",
        ),
        (
            task("failed", {"unknown": 2, "accepted": 4}, is_over=False, total=9),
            f"{DIED} 2 in doubt: settle them below. 3 of 9 were not reached: Clear sends only these.",
        ),
        (
            task("failed", {"accepted": 4}, is_over=False),
            f"{DIED} How much of the list was not reached is not known: Clear sends only these.",
        ),
        (task("failed", {}, stop_reason="no credit"), "Nothing was sent: no credit."),
        (
            task("failed", {"not_sent": 5}, stop_reason="no credit"),
            "Sending was stopped, see below: mend that first. 5 were not sent: Clear sends only these.",
        ),
        (
            task("failed", {"accepted": 5}, {"sent": 2}),
            "All doubts are settled, and nothing is left to send: Clear makes the task green without a second SMS.",
        ),
        (
            task("failed", {"rejected": 5}),
            "Nothing is left to send; the task's log says why it is not green.",
        ),
        (
            task("deferred", {"held": 5}, opens_at="2026-11-02T08:00:00+00:00"),
            "Nothing to do: 5 wait for their send window; the task goes on by itself at 2026-11-02 08:00 UTC.",
        ),
        (task("success", {"held": 5}), "5 held until their send window opens: Clear sends them then."),
    ],
)
def test_what_a_task_needs(of: SendingTask, expected: str) -> None:
    assert said(of) == expected


def test_who_may_not_settle_is_told_who_may() -> None:
    assert "a user who may edit this task has to" in said(task("failed", {"unknown": 1}), may_settle=False)


def test_what_the_tasks_of_a_run_need() -> None:
    tasks = [
        task("failed", {"unknown": 2}, is_over=False, total=5),
        task("failed", {"unknown": 1}),
        task("success", {"accepted": 1}),
    ]
    assert " ".join(advice_for_all(tasks).sentences) == (
        "The worker of 1 of the tasks was killed or lost. 3 in doubt in 2 of the tasks below: open them to settle"
        " these. 3 were not sent or not reached: Clear sends only these."
    )
    assert advice_for_all(tasks[2:]).sentences == ["Nothing to do."]
