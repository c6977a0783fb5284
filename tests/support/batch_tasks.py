"""A batch task as tests make it: its list, its arguments, and what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow_provider_omnichat.campaign.model.rows import Result
from airflow_provider_omnichat.campaign.results.files import read_results
from airflow_provider_omnichat.operators.omnichat import SendInviteBatchOperator
from tests.support.airflow_harness import TaskRun
from tests.support.airflow_versions import AIRFLOW

MESSAGE = "Hello {name}, follow us at <link>"


def number(index: int) -> str:
    return f"4179{2_000_000 + index}"


def people(count: int, **fields: Any) -> list[dict[str, Any]]:
    return [{"to": f"+{number(i)}", "name": f"P{i}", "id": f"c{i}", **fields} for i in range(count)]


def batch(invites: Any, **given: Any) -> SendInviteBatchOperator:
    fields = {
        "task_id": "invite",
        "message": MESSAGE,
        "retry_budget": 1.0,
        "concurrency": 4,
        "ledger_patience": 0,
        **given,
    }
    return SendInviteBatchOperator(invites=invites, **fields)


def counts(run: TaskRun) -> dict[str, int]:
    """The counts that are not zero; checked to add up to the rows."""
    manifest = run.xcom["return_value"]
    assert sum(manifest["counts"].values()) == manifest["rows"]
    return {outcome: count for outcome, count in manifest["counts"].items() if count}


def rows_in(folder: Path) -> list[Result]:
    """The result rows below a folder, in the order of the list."""
    (home,) = {file.parent for file in folder.rglob("*.jsonl")} | {file.parent for file in folder.rglob("*.csv")}
    return sorted(read_results(home), key=lambda row: row.position)


def XCom(value: Any) -> Any:
    """The output of another task; on Airflow 2, where none runs here, what it would give."""
    if AIRFLOW < (3, 0):
        return value
    from airflow.sdk import DAG, BaseOperator

    from tests.support.airflow_harness import START

    with DAG("invites", schedule=None, start_date=START):
        return BaseOperator(task_id="find").output
