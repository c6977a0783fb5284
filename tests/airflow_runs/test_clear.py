"""*Clear* in a real Airflow, with a scheduler: nobody gets a second SMS, whatever this Airflow forgets."""

from __future__ import annotations

from collections import Counter
from urllib.parse import quote

import pytest

from airflow_provider_omnichat.sandbox.server import Sandbox
from tests.support.airflow_deployment import Airflow
from tests.support.airflow_versions import AIRFLOW, HAS_STATE_STORE

pytestmark = pytest.mark.airflow

WITHOUT_LEDGER = ("single", "batch", "transfer", "decorated")
KEEPS_THE_STORE = HAS_STATE_STORE and AIRFLOW < (3, 4)
PEOPLE = 1 + 3 + 2 + 3 + 3 + 3 + 2


def test_nobody_is_invited_again_by_a_clear(deployment: Airflow, sandbox: Sandbox) -> None:
    run_id = deployment.trigger("cleared")
    assert red_after(deployment, run_id, attempt=1) == set()
    assert sms_by_person(sandbox) == {1: PEOPLE}

    for attempt in (2, 3):
        deployment.clear("cleared", run_id)
        assert red_after(deployment, run_id, attempt) == (set() if KEEPS_THE_STORE else set(WITHOUT_LEDGER))
        assert sms_by_person(sandbox) == {1: PEOPLE}
        for task_id in WITHOUT_LEDGER:
            log = deployment.log("cleared", run_id, task_id, attempt)
            assert ("there is no record of whom it invited" in log) != KEEPS_THE_STORE
            assert (f"try-{attempt + 1}" in log) != KEEPS_THE_STORE


@pytest.mark.skipif(
    not HAS_STATE_STORE or KEEPS_THE_STORE, reason="only Airflow 3.4 can be told what a clear shall keep"
)
def test_a_clear_that_keeps_the_task_state_finds_who_was_invited(deployment: Airflow, sandbox: Sandbox) -> None:
    run_id = deployment.trigger("cleared")
    assert red_after(deployment, run_id, attempt=1) == set()
    deployment.clear("cleared", run_id, keep_task_state=True)
    assert red_after(deployment, run_id, attempt=2) == set()
    assert sms_by_person(sandbox) == {1: PEOPLE}


def red_after(deployment: Airflow, run_id: str, attempt: int) -> set[str]:
    """Wait until each task has ended this attempt, for Airflow answers before it has cleared; give the red ones."""
    path = f"/api/v2/dags/cleared/dagRuns/{quote(run_id)}/taskInstances?limit=100"

    def states() -> dict[tuple[str, int], str] | None:
        tasks = deployment.api("GET", path)["task_instances"]
        ended = all(each["try_number"] == attempt and each["state"] in ("success", "failed") for each in tasks)
        is_whole = {each["map_index"] for each in tasks} >= {0, 1, 2}
        return {(each["task_id"], each["map_index"]): each["state"] for each in tasks} if ended and is_whole else None

    found = deployment.wait_until(states, f"attempt {attempt} of all tasks has ended")
    deployment.wait_for_run("cleared", run_id)  # a clear before its end is lost on Airflow 3.4
    return {task_id for (task_id, _), state in found.items() if state == "failed"}


def sms_by_person(sandbox: Sandbox) -> Counter[int]:
    """How many people got how many SMS."""
    return Counter(Counter(sms.to for sms in sandbox.accepted).values())
