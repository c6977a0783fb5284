"""The DAG of docs/how-to/notify.md, run as it stands there: it fails, and the person on duty hears of it once."""

from __future__ import annotations

import pytest

from airflow_provider_omnichat.sandbox.server import Sandbox
from tests.support.airflow_deployment import Airflow, assert_none_of

pytestmark = pytest.mark.airflow


def test_a_task_and_a_dag_that_fail_invite_once_each(running: Airflow, sandbox: Sandbox) -> None:
    run = running.run_dag("nightly")

    assert run.state == "failed", run.log
    running.wait_until(lambda: len(sandbox.accepted) >= 2, "the DAG's own callback")
    assert sorted(sms.message for sms in sandbox.accepted) == [
        "load of nightly has failed, try 1. Talk to us: <link>",
        "nightly has failed. Talk to us: <link>",
    ]
    assert {sms.to for sms in sandbox.accepted} == {"41793026727"}
    assert_none_of(["41793026727", "302 67 27"], run.log)


def test_with_scheduler_worker_and_dag_processor(deployment: Airflow, sandbox: Sandbox) -> None:
    run_id = deployment.trigger("on_duty")
    assert deployment.wait_for_run("on_duty", run_id) == "failed"

    deployment.wait_until(lambda: len(sandbox.accepted) >= 2, "the DAG's own callback")
    assert sorted(sms.message for sms in sandbox.accepted) == ["breaks, try 1: <link>", "on_duty: <link>"]
    log = deployment.log("on_duty", run_id)
    assert "; not again" in log
    assert_none_of(["447700900200", "7700 900200"], log)
