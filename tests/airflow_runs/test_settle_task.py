"""A killed batch with the task state store, and a task after it that settles its doubts through Airflow's API."""

from __future__ import annotations

import json
import os
import signal

import pytest

from airflow_provider_omnichat.campaign.results.files import read_results
from airflow_provider_omnichat.sandbox.server import Sandbox
from tests.support.airflow_deployment import Airflow, assert_none_of
from tests.support.airflow_versions import needs_store
from tests.support.batch_tasks import number
from tests.support.killed_campaigns import write_list

pytestmark = [pytest.mark.airflow, pytest.mark.slow, needs_store]
DAG, PEOPLE = "settled", 12
NUMBERS = [number(at) for at in range(PEOPLE)]


def accepted_in_store(deployment: Airflow, run_id: str) -> int:
    values = deployment.query(
        "SELECT value FROM task_state_store WHERE dag_id = ? AND run_id = ? AND task_id = 'send'", DAG, run_id
    )
    found = [json.loads(value) for (value,) in values]
    return sum(each["outcomes"].count("a") for each in found if isinstance(each, dict) and "outcomes" in each)


def test_what_a_killed_worker_had_sent_is_settled_and_the_cleared_task_does_not_send_it_again(
    deployment: Airflow, sandbox: Sandbox
) -> None:
    sandbox.script("ok", "500-after", "500-before", "ok", "hang-after")
    write_list(deployment.marks / "settled.jsonl", PEOPLE)
    run_id = deployment.trigger(DAG)
    deployment.wait_until(lambda: sandbox.requests_seen == 5, "the last request has no answer")
    deployment.wait_until(lambda: accepted_in_store(deployment, run_id) == 2, "the answers before it are in the store")
    ((pid,),) = deployment.query(
        "SELECT pid FROM task_instance WHERE dag_id = ? AND run_id = ? AND task_id = 'send'", DAG, run_id
    )
    os.kill(pid, signal.SIGKILL)
    deployment.wait_for_run(DAG, run_id)
    assert deployment.tries(DAG, run_id, "send")[-1][0] == "failed"
    assert deployment.tries(DAG, run_id, "settle")[-1] == ("success", 1)
    done = deployment.xcoms(DAG, run_id, "settle", "return_value")[-1]
    assert (done["campaign"], done["found"]) == (f"{DAG}/{run_id}/send", 2)
    assert done["still_in_doubt"] >= 1
    assert sandbox.requests_seen == 5
    assert_none_of([*NUMBERS, "robot"], deployment.log(DAG, run_id, "settle"))
    assert_none_of(NUMBERS, deployment.rendered(DAG, run_id)["settle", -1])

    deployment.clear(DAG, run_id, only_failed=True)
    deployment.wait_for_run(DAG, run_id)
    assert deployment.tries(DAG, run_id, "send")[-1][1] == 2
    sent = [sms.to for sms in sandbox.accepted]
    assert sorted(set(sent)) == sorted(sent)
    (folder,) = {file.parent for file in (deployment.marks / "settled").rglob("*.jsonl")}
    rows = {row.key: row for row in read_results(folder)}
    settled = {key for key, row in rows.items() if "settled as sent: by look-up at" in str(row.error)}
    assert settled == {"c1", "c4"}
    outcomes = {row.to: str(row.outcome) for row in rows.values()}
    assert {to for to, outcome in outcomes.items() if outcome == "accepted"} == set(sent)
    assert set(outcomes.values()) == {"accepted", "unknown"}
    assert len(outcomes) == PEOPLE
