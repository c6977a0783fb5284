"""``dag.test()`` of a DAG with mapping, retries and inputs from TaskFlow tasks."""

from __future__ import annotations

import pytest

from airflow_provider_omnichat.sandbox.server import Sandbox
from tests.support.airflow_deployment import Airflow
from tests.support.folders import TEST_DAGS

pytestmark = pytest.mark.airflow


def test_mapped_invites_are_sent_once_each_and_retried_when_not_sent(airflow: Airflow, sandbox: Sandbox) -> None:
    sandbox.set_faults({"429": 0.0})
    sandbox.script("ok", "ok", "429")
    ended = airflow.run(str(TEST_DAGS / "invites.py"))

    assert ended.returncode == 0, ended.stdout[-3000:]
    run_id, state = airflow.last_run("invites")
    assert state == "success", ended.stdout[-3000:]
    assert sorted(sms.to for sms in sandbox.accepted) == [f"44770090020{index}" for index in range(5)]
    assert {sms.text.split(",")[0] for sms in sandbox.accepted} == {"Dear giraffe"} | {
        f"Dear zebra {index}" for index in range(1, 5)
    }
    assert sandbox.requests_seen == 6
    ids = {sms.to: sms.message_id for sms in sandbox.accepted}
    answers = airflow.xcoms("invites", run_id, "mapped", "return_value") | airflow.xcoms(
        "invites", run_id, "plain", "return_value"
    )
    assert {answer["to"]: answer["messageId"] for answer in answers.values()} == ids
    given = airflow.xcoms("invites", run_id, "mapped", "messageId") | airflow.xcoms(
        "invites", run_id, "plain", "messageId"
    )
    assert set(given.values()) == set(ids.values())
