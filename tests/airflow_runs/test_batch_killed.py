"""The fault matrix through a real scheduler and LocalExecutor, with Airflow's own state store."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.campaign.results.files import read_results
from airflow_provider_omnichat.sandbox.server import Sandbox
from tests.support.airflow_deployment import Airflow, assert_none_of
from tests.support.airflow_versions import needs_store
from tests.support.batch_tasks import number
from tests.support.killed_campaigns import FAULTS, INVITES, KILLS, judge, write_list

pytestmark = [
    pytest.mark.airflow,
    needs_store,
]


@pytest.mark.parametrize(
    ("invites", "kills", "seed"),
    [
        pytest.param(300, 2, 100, marks=pytest.mark.promise),
        pytest.param(INVITES, KILLS, 101, marks=pytest.mark.proof),
        pytest.param(INVITES, KILLS, 102, marks=pytest.mark.proof),
    ],
)
def test_a_batch_whose_worker_is_killed_sends_to_each_at_most_once(
    deployment: Airflow, sandbox: Sandbox, invites: int, kills: int, seed: int, capsys: Any
) -> None:
    chance = random.Random(seed)
    sandbox.set_faults(FAULTS, seed=seed)
    write_list(deployment.marks / "list.jsonl", invites)
    begin = time.monotonic()
    run_id = deployment.trigger("killed_batch")
    pids: list[int] = []
    try:
        while len(pids) < kills:
            goal = sandbox.requests_seen + chance.randrange(1, max(2, invites // 20))
            pid = deployment.wait_until(lambda: running_pid(deployment, run_id, pids), "the next try runs")
            while sandbox.requests_seen < goal and Path(f"/proc/{pid}").exists():
                time.sleep(0.005)
            time.sleep(chance.uniform(0, 0.05))
            os.kill(pid, signal.SIGKILL)
            pids.append(pid)
        state = deployment.wait_for_run("killed_batch", run_id)
    finally:
        sandbox.clear_faults()
    ((_, tries),) = deployment.tries("killed_batch", run_id, "invite").values()
    (folder,) = {
        file.parent for file in (deployment.marks / "results").rglob("*-try-*") if run_part(run_id) in str(file)
    }
    rows = sorted(read_results(folder), key=lambda row: row.position)
    manifest = deployment.xcoms("killed_batch", run_id, "invite", "return_value")[-1]
    receipts = [receipt.as_json() for receipt in sandbox.outbox]
    told = judge(invites, receipts, rows, {"manifest": manifest, "state": state, "error": ""})
    with capsys.disabled():
        print(f"\nseed {seed}, scheduler: {kills} kills, {tries} tries, {time.monotonic() - begin:.0f} s; {told}")
    assert_none_of([number(0), number(invites - 1), "come to"], deployment.log("killed_batch", run_id))


def run_part(run_id: str) -> str:
    return run_id.replace(":", "_")


def running_pid(deployment: Airflow, run_id: str, killed: list[int]) -> int | None:
    """The process of the try that runs now."""
    rows = deployment.query(
        "SELECT pid FROM task_instance WHERE dag_id = 'killed_batch' AND run_id = ? AND state = 'running'", run_id
    )
    pid = rows[0][0] if rows else None
    return pid if pid and pid not in killed and Path(f"/proc/{pid}").exists() else None
