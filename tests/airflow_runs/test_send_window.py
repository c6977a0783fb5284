"""A wait for the window with a real scheduler and triggerer, and a worker that is killed before it and after it."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from airflow_provider_omnichat.campaign.results.files import read_results
from airflow_provider_omnichat.sandbox.server import Sandbox
from tests.support.airflow_deployment import Airflow, assert_none_of
from tests.support.airflow_versions import HAS_STATE_STORE, needs_store, retries_a_killed_task
from tests.support.batch_tasks import number

pytestmark = pytest.mark.airflow

AWAKE, ASLEEP = 16, 16


def awake_and_soon(lead: float) -> tuple[str, str, float]:
    """A zone where it is noon, one where it will be nine in *lead* seconds or up to a minute more, and that moment."""
    now = datetime.now(UTC)
    before = 1 + int((now.second + lead) // 60)
    opens_at = now.timestamp() - now.second - now.microsecond / 1e6 + 60 * before
    return zone(now, 12 * 60), zone(now, 9 * 60 - before), opens_at


def zone(now: datetime, minutes: int) -> str:
    """The fixed zone in which so many minutes of the day have passed."""
    ahead = (minutes - now.hour * 60 - now.minute + 720) % 1440 - 720
    return f"{'-' if ahead < 0 else '+'}{abs(ahead) // 60:02}:{abs(ahead) % 60:02}"


@pytest.mark.parametrize(
    "dag_id",
    [
        pytest.param(
            "window_with_state_store",
            marks=needs_store,
        ),
        # The same again on an Airflow that has the other, so it is for the slow tests there.
        pytest.param("window_with_database", marks=[pytest.mark.slow] if HAS_STATE_STORE else []),
    ],
)
@retries_a_killed_task
def test_who_sleeps_gets_it_in_the_morning_and_nobody_twice_although_the_worker_is_killed(
    deployment: Airflow, sandbox: Sandbox, dag_id: str
) -> None:
    deployment.start_triggerer()
    begun = time.monotonic()
    awake, asleep, _ = awake_and_soon(3600)
    write_list(deployment.marks / "list.jsonl", awake, asleep)
    run_id = deployment.trigger(dag_id)

    deployment.wait_until(lambda: sandbox.requests_seen >= 4, "some of those who are awake are sent to")
    # The second try reads the list again. It needs about as long as the first, and twice that is left before nine.
    awake, asleep, opens_at = awake_and_soon(10 + 2 * (time.monotonic() - begun))
    write_list(deployment.marks / "list.jsonl", awake, asleep)
    kill(deployment, dag_id, run_id, 1)
    state = deployment.wait_until(lambda: state_of(deployment, dag_id, run_id, "deferred"), "the task sleeps")
    assert state == ("deferred", 2)
    assert time.time() < opens_at, "the machine was too slow for this test: nine came before the task slept"
    sent_so_far, all_awake = {sms.to for sms in sandbox.accepted}, {number(i) for i in range(AWAKE)}
    assert all_awake - in_doubt(deployment, dag_id) <= sent_so_far <= all_awake

    seen = sandbox.requests_seen
    deployment.wait_until(lambda: sandbox.requests_seen >= seen + 4, "some of those who have woken are sent to")
    assert time.time() >= opens_at
    kill(deployment, dag_id, run_id, 2)
    end = deployment.wait_for_run(dag_id, run_id)

    rows = sorted(read_results(results_of(deployment, dag_id)), key=lambda row: row.position)
    assert [row.position for row in rows] == list(range(1, AWAKE + ASLEEP + 1))
    counts = Counter(str(row.outcome) for row in rows)
    sent = Counter(sms.to for sms in sandbox.accepted)
    assert sent.most_common(1)[0][1] == 1
    assert set(sent) >= {row.to for row in rows if row.outcome == "accepted"}
    assert set(counts) <= {"accepted", "unknown"}, counts
    # In doubt are those claimed at a kill, never all of them.
    assert counts["accepted"], counts
    assert end == ("failed" if counts["unknown"] else "success")
    assert deployment.tries(dag_id, run_id, "invite")[-1][1] == 3
    log = deployment.log(dag_id, run_id)
    assert f"{ASLEEP} wait for their send window" in log
    assert_none_of([number(0), number(AWAKE), "come to"], log)


def write_list(path: Path, awake: str, asleep: str) -> None:
    rows = [
        {"to": f"+{number(i)}", "name": f"P{i}", "customer_id": f"c{i}", "zone": awake if i < AWAKE else asleep}
        for i in range(AWAKE + ASLEEP)
    ]
    new = path.with_suffix(".new")
    new.write_text("".join(json.dumps(row) + "\n" for row in rows))
    new.rename(path)  # a task may be reading the one before


def state_of(deployment: Airflow, dag_id: str, run_id: str, wanted: str) -> tuple[str, int] | None:
    found = deployment.tries(dag_id, run_id, "invite").get(-1)
    return found if found and found[0] == wanted else None


def kill(deployment: Airflow, dag_id: str, run_id: str, attempt: int) -> None:
    """Kill the process of a try that is under way."""
    question = "SELECT pid FROM task_instance WHERE dag_id = ? AND run_id = ? AND state = 'running' AND try_number = ?"
    ((pid,),) = deployment.query(question, dag_id, run_id, attempt)
    os.kill(pid, signal.SIGKILL)


def results_of(deployment: Airflow, dag_id: str) -> Path:
    (folder,) = {file.parent for file in (deployment.marks / "results" / dag_id).rglob("*-try-*")}
    return folder


def in_doubt(deployment: Airflow, dag_id: str) -> set[str]:
    return {row.to for row in read_results(results_of(deployment, dag_id)) if row.outcome == "unknown"}
