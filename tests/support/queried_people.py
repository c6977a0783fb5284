"""People in a database, and a task that sends to what a query gives."""

from __future__ import annotations

from typing import Any

from airflow_provider_omnichat.transfers.sql_to_omnichat import SqlToOmnichatInviteOperator
from tests.support.batch_tasks import number
from tests.support.sql_connections import CONN_ID

MESSAGE = "Hello {first_name}, follow us at <link>"


def people(count: int) -> list[tuple[str, str, str]]:
    return [(f"c-{i:05}", f"+{number(i)}", f"P{i}") for i in range(count)]


def invites(sql: str = "SELECT id, mobile, first_name FROM people ORDER BY id", **given: Any) -> Any:
    fields = {
        "task_id": "invite",
        "conn_id": CONN_ID,
        "message": MESSAGE,
        "to_column": "mobile",
        "key_column": "id",
        "retry_budget": 1.0,
        "ledger_patience": 0,
        "concurrency": 4,
        **given,
    }
    return SqlToOmnichatInviteOperator(sql=sql, **fields)
