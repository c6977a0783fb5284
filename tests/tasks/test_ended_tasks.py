"""What Airflow says of the task instances that have claimed invites."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_omnichat.tasks.ended_tasks import ended_tasks

STATES = {
    "dag": {
        "monday": {
            **{f"ended-{each}": each for each in ("success", "failed", "skipped", "upstream_failed", "removed")},
            **{f"on-{each}": each for each in ("running", "up_for_retry", "deferred", "queued", "restarting", None)},
            "mapped_3": "failed",
            "mapped_4": "running",
        }
    }
}


class Ti:
    def __init__(self, states: Any = STATES) -> None:
        self.states = states
        self.asked: list[dict[str, Any]] = []

    def get_task_states(self, dag_id: str, **asked: Any) -> Any:
        self.asked.append(asked)
        return self.states[dag_id]


def told(name: str, ti: Any) -> bool | None:
    return ended_tasks({"ti": ti})(name)


def test_each_state_is_of_one_that_has_ended_or_goes_on():
    for task_id in STATES["dag"]["monday"]:
        if not task_id.startswith("mapped"):
            assert told(f"dag/monday/{task_id}", Ti()) is task_id.startswith("ended-"), task_id
    assert (told("dag/monday/mapped/3", Ti()), told("dag/monday/mapped/4", Ti())) == (True, False)


@pytest.mark.parametrize(
    "name",
    [
        "dag/tuesday/ended-failed",  # a run that was deleted
        "dag/monday/other",
        "other/monday/ended-failed",  # an error of Airflow's
        "dag/monday/mapped",
        "dag/a/monday/ended-failed",
        "a name of the user's own",
        "",
    ],
)
def test_of_what_airflow_does_not_know_nothing_is_told(name):
    assert told(name, Ti()) is None


def test_airflow_2_cannot_be_asked():
    assert told("dag/monday/ended-failed", SimpleNamespace()) is None


def test_who_runs_is_not_asked_about_for_each_block_and_who_has_ended_is():
    ti = Ti({"dag": {"monday": {"task": "running"}}})
    has_ended = ended_tasks({"ti": ti})  # type: ignore[typeddict-item]
    assert [has_ended("dag/monday/task") for _ in range(3)] == [False] * 3
    assert len(ti.asked) == 1
    ti = Ti({"dag": {"monday": {"task": "failed"}}})
    has_ended = ended_tasks({"ti": ti})  # type: ignore[typeddict-item]
    assert has_ended("dag/monday/task")
    ti.states["dag"]["monday"]["task"] = "running"  # it was cleared, and claims again
    assert has_ended("dag/monday/task") is False
