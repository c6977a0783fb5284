"""A worker that is killed with SIGKILL: the next try sends nothing."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from airflow_provider_omnichat.sandbox.server import Sandbox
from tests.support.airflow_deployment import Airflow
from tests.support.airflow_versions import HAS_STATE_STORE

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(not HAS_STATE_STORE, reason="before Airflow 3.3 nothing outlives a try"),
]


def test_worker_killed_while_the_answer_hangs_leaves_an_unknown_that_is_never_resent(
    deployment: Airflow, sandbox: Sandbox
) -> None:
    sandbox.script("hang-after")
    run_id = deployment.trigger("killed_in_flight")
    deployment.wait_until(lambda: sandbox.accepted, "the vendor has taken the invite")
    kill_worker(deployment, "killed_in_flight", run_id)

    assert deployment.wait_for_run("killed_in_flight", run_id) == "failed"
    # Red after the second try although there is a third: to try again is no use.
    assert deployment.tries("killed_in_flight", run_id, "invite") == {-1: ("failed", 2)}
    log = deployment.log("killed_in_flight", run_id, attempt=2)
    assert "Already in doubt since an earlier try, nothing was sent now" in log
    assert "An earlier try was about to send this invite and ended before it could say how" in log
    assert 'set on_unknown=\\"resend\\"' in log
    assert sandbox.requests_seen == 1
    assert len(sandbox.accepted) == 1


def test_worker_killed_after_the_outcome_was_recorded_gives_the_same_answer(
    deployment: Airflow, sandbox: Sandbox
) -> None:
    run_id = deployment.trigger("killed_after_record")
    deployment.wait_until((deployment.marks / "recorded").exists, "the invite is recorded")
    kill_worker(deployment, "killed_after_record", run_id)

    assert deployment.wait_for_run("killed_after_record", run_id) == "success"
    assert deployment.tries("killed_after_record", run_id, "invite") == {-1: ("success", 2)}
    assert "accepted by an earlier try, nothing was sent now" in deployment.log(
        "killed_after_record", run_id, attempt=2
    )
    (sms,) = sandbox.accepted
    assert deployment.xcoms("killed_after_record", run_id, "invite", "messageId") == {-1: sms.message_id}
    assert deployment.xcoms("killed_after_record", run_id, "invite", "return_value")[-1]["to"] == sms.to
    assert sandbox.requests_seen == 1


def kill_worker(deployment: Airflow, dag_id: str, run_id: str) -> None:
    ((pid,),) = deployment.query("SELECT pid FROM task_instance WHERE dag_id = ? AND run_id = ?", dag_id, run_id)
    command = Path(f"/proc/{pid}/cmdline")
    assert not command.exists() or b"airflow" in command.read_bytes()
    os.kill(pid, signal.SIGKILL)
