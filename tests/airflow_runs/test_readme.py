"""The DAGs of the README, run as they stand there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.sandbox.server import Sandbox
from tests.support.airflow_deployment import Airflow, bundle
from tests.support.airflow_versions import AIRFLOW, HAS_STATE_STORE
from tests.support.snippets import snippets

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(AIRFLOW < (3, 0), reason="the snippets import airflow.sdk, which came with Airflow 3"),
]


def dags(approved: bool) -> list[Any]:
    """Those in which a person is asked, or the others."""
    found = [each for each in snippets("python") if "@dag" in each.values[0] and "Notifier" not in each.values[0]]
    return [each for each in found if ("ApprovalOperator" in each.values[0]) == approved]


@pytest.mark.parametrize("code", dags(approved=False))
def test_dag_of_the_readme(code: str, airflow: Airflow, sandbox: Sandbox, tmp_path: Path) -> None:
    if "retries" in code and "Batch" in code and not HAS_STATE_STORE:
        pytest.skip("without a task state store a list refuses retries, as the page on compatibility says")
    (tmp_path / "readme.py").write_text(code.replace("/tmp/invites", str(tmp_path / "results")))
    dag_id = code.rstrip().rpartition("\n")[2].removesuffix("()")

    bundles = json.dumps([bundle("readme", tmp_path)])
    ended = airflow.cli("dags", "test", dag_id, "2026-11-20", AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST=bundles)

    assert ended.returncode == 0, ended.stdout[-3000:]
    run_id, state = airflow.last_run(dag_id)
    assert state == "success"
    assert sandbox.totals.requests == len(sandbox.accepted) > 0
    if "Batch" in code:
        (manifest,) = airflow.xcoms(dag_id, run_id, "send_invites", "return_value").values()
        assert_manifest(manifest, len(sandbox.accepted))
        assert sandbox.accepted[0].message.startswith("Hi Ada, one week")


def assert_manifest(manifest: dict[str, Any], accepted: int) -> None:
    assert manifest["counts"]["accepted"] == manifest["rows"] == accepted
    files = list(Path(manifest["results"]).glob("*.jsonl"))
    assert sum(len(file.read_text().splitlines()) for file in files) == accepted


@pytest.mark.skipif(AIRFLOW < (3, 1), reason="Airflow has approvals from 3.1 on")
@pytest.mark.parametrize("code", dags(approved=True))
def test_dag_in_which_a_person_is_asked(code: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tasks, one after the other; that the person's click goes on is shown with the example DAG."""
    from tests.support.airflow_harness import run_task

    monkeypatch.setenv("AIRFLOW_CONN_OMNICHAT_DEFAULT", sandbox.airflow_connection)
    names: dict[str, Any] = {"__name__": "snippet"}
    exec(compile(code.replace("\napproved()", "\nmade = approved()"), "snippet", "exec"), names)
    tasks = names["made"].task_dict
    preview = run_task(tasks["preview"])
    assert preview.succeeded, preview.error
    assert sandbox.totals.requests == 0
    asked = run_task(tasks["approve"], upstream={"preview": preview.xcom["markdown"]})
    assert asked.state in {"deferred", "awaiting_input"}
    assert "would be invited" in str(asked.rendered["body"])
    sent = run_task(tasks["send"], upstream={"preview": preview.xcom["fingerprint"]})
    assert sent.succeeded, sent.error
    assert sandbox.totals.requests == len(sandbox.accepted) == 1
