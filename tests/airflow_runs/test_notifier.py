"""The DAG of docs/notifier.md, run as it stands there: it fails, and the person on duty hears of it once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_omnichat.sandbox.server import Sandbox
from tests.support.airflow_deployment import Airflow, assert_none_of, bundle
from tests.support.airflow_versions import AIRFLOW
from tests.support.snippets import snippets

pytestmark = pytest.mark.airflow


def test_a_task_and_a_dag_that_fail_invite_once_each(airflow: Airflow, sandbox: Sandbox, tmp_path: Path) -> None:
    (code,) = [each.values[0] for each in snippets("python") if "Notifier" in each.values[0]]
    (tmp_path / "nightly.py").write_text(code.replace("airflow.sdk", "airflow.providers.common.compat.sdk"))
    where = (
        {"AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path)}
        if AIRFLOW < (3, 0)
        else {"AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle("nightly", tmp_path)])}
    )
    ended = airflow.cli("dags", "test", "nightly", "2026-11-20", **where)

    assert airflow.last_run("nightly")[1] == "failed", ended.stdout[-3000:]
    texts = [sms.message for sms in sandbox.accepted]
    assert texts[0] == "load of nightly has failed, try 1. Talk to us: <link>", ended.stdout[-3000:]
    assert texts[1:] == ["nightly has failed. Talk to us: <link>"], ended.stdout[-3000:]
    assert {sms.to for sms in sandbox.accepted} == {"41793026727"}
    assert_none_of(["41793026727", "302 67 27"], ended.stdout)


def test_with_scheduler_worker_and_dag_processor(deployment: Airflow, sandbox: Sandbox) -> None:
    run_id = deployment.trigger("on_duty")
    assert deployment.wait_for_run("on_duty", run_id) == "failed"

    deployment.wait_until(lambda: len(sandbox.accepted) >= 2, "the DAG's own callback")
    assert sorted(sms.message for sms in sandbox.accepted) == ["breaks, try 1: <link>", "on_duty: <link>"]
    log = deployment.log("on_duty", run_id)
    assert "; not again" in log
    assert_none_of(["447700900200", "7700 900200"], log)
