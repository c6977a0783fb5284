"""The DAGs of README and docs, run exactly as written there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.sandbox.server import Sandbox
from tests.support.airflow_deployment import Airflow
from tests.support.airflow_versions import AIRFLOW, HAS_STATE_STORE
from tests.support.snippets import dag_snippets

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(AIRFLOW < (3, 0), reason="the snippets import airflow.sdk, which came with Airflow 3"),
]


DAGS = {dag_id: code for dag_id, code in dag_snippets() if "Notifier" not in code}
IN_WHICH_A_PERSON_IS_ASKED = {dag_id for dag_id, code in DAGS.items() if "ApprovalOperator" in code}


@pytest.mark.parametrize("dag_id", sorted(DAGS.keys() - IN_WHICH_A_PERSON_IS_ASKED))
def test_dag_of_the_readme(dag_id: str, deployment: Airflow, sandbox: Sandbox) -> None:
    code = DAGS[dag_id]
    if "retries" in code and "Batch" in code and not HAS_STATE_STORE:
        pytest.skip("without a task state store a list refuses retries, as the page on compatibility says")
    run = deployment.run_dag(dag_id)

    assert run.state == "success", run.log
    assert sandbox.totals.requests == len(sandbox.accepted) > 0
    if "Batch" in code:
        (manifest,) = deployment.xcoms(dag_id, run.run_id, "send_invites", "return_value").values()
        assert_manifest(manifest, len(sandbox.accepted))
        assert sandbox.accepted[0].message.startswith("Hi Ada, one week")


def assert_manifest(manifest: dict[str, Any], accepted: int) -> None:
    assert manifest["counts"]["accepted"] == manifest["rows"] == accepted
    files = list(Path(manifest["results"]).glob("*.jsonl"))
    assert sum(len(file.read_text().splitlines()) for file in files) == accepted


@pytest.mark.skipif(AIRFLOW < (3, 1), reason="Airflow has approvals from 3.1 on")
@pytest.mark.parametrize("dag_id", sorted(IN_WHICH_A_PERSON_IS_ASKED))
def test_dag_in_which_a_person_is_asked(dag_id: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tasks, one after the other; that the person's click goes on is shown with the example DAG."""
    from tests.support.airflow_harness import run_task

    monkeypatch.setenv("AIRFLOW_CONN_OMNICHAT_DEFAULT", sandbox.airflow_connection)
    names: dict[str, Any] = {"__name__": "snippet"}
    exec(compile(DAGS[dag_id].replace(f"\n{dag_id}()", f"\nmade = {dag_id}()"), "snippet", "exec"), names)
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
