"""Airflow itself says whether another run of a campaign still sends: what is open is being sent, or in doubt."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from airflow_provider_omnichat.sandbox.server import Sandbox
from tests.support.airflow_deployment import Airflow

pytestmark = pytest.mark.airflow
DAG = "run_again"


def test_a_later_run_knows_whether_an_earlier_one_still_sends(deployment: Airflow, sandbox: Sandbox) -> None:
    sandbox.script("ok", "hang-after")
    first = deployment.trigger(DAG)
    deployment.wait_until(lambda: len(sandbox.accepted) == 2, "the second invite is under way")

    while_it_runs = deployment.trigger(DAG)
    assert deployment.wait_for_run(DAG, while_it_runs) == "success"
    found = reasons(deployment, while_it_runs)
    assert ("duplicate", "being_sent") in found
    assert not [code for outcome, code in found if outcome == "unknown"]

    ((pid,),) = deployment.query("SELECT pid FROM task_instance WHERE dag_id = ? AND run_id = ?", DAG, first)
    os.kill(pid, signal.SIGKILL)
    assert deployment.wait_for_run(DAG, first) == "failed"
    open_claims = claims(deployment, "outcome IS NULL")
    assert "c1" in open_claims

    after_it = deployment.trigger(DAG)
    assert deployment.wait_for_run(DAG, after_it) == "failed"
    found = reasons(deployment, after_it)
    assert found["unknown", "in_doubt_since_earlier_run"] == open_claims
    assert ("duplicate", "being_sent") not in found
    assert claims(deployment, "outcome IS NULL") == []
    assert claims(deployment, "reason_code = 'claim_never_ended'") == open_claims
    assert f"in doubt since an earlier run of this campaign: {DAG}/{first}/invite at " in deployment.log(DAG, after_it)
    assert len(sandbox.accepted) == len({sms.to for sms in sandbox.accepted}), "nobody got two"


def reasons(deployment: Airflow, run_id: str) -> dict[tuple[str, str], list[Any]]:
    manifest = deployment.xcoms(DAG, run_id, "invite", "return_value")[-1]
    return {(each["outcome"], each["code"]): each["first"] for each in manifest["reasons"]}


def claims(deployment: Airflow, condition: str) -> list[str]:
    with closing(sqlite3.connect(deployment.ledger)) as database:
        rows = database.execute(f"SELECT row_key FROM omnichat_invites WHERE {condition} ORDER BY row_key")
        return [key for (key,) in rows]
