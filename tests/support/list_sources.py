"""The same rows from everything that can give a list, for tests that must hold for all of it."""

from __future__ import annotations

import csv
import gzip
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_omnichat.decorators.omnichat_invite import omnichat_invite_task
from airflow_provider_omnichat.operators.omnichat import SendInviteBatchOperator
from airflow_provider_omnichat.transfers.sql_to_omnichat import SqlToOmnichatInviteOperator
from tests.support.airflow_harness import START
from tests.support.airflow_versions import HAS_STATE_STORE
from tests.support.batch_tasks import MESSAGE
from tests.support.batch_tasks import batch as batch_task

if TYPE_CHECKING:
    import pytest

REMEMBERS: dict[str, Any] = {} if HAS_STATE_STORE else {"ledger_conn_id": "ledger"}
"""What a task with retries needs, so that its next try knows what this one has sent."""

WITH_HEADER = ("csv", "tsv", "csv.gz", "query")
WITHOUT_HEADER = ("jsonl", "list", "tuple", "lists in a list", "iterator")
EVERY_KIND = (*WITH_HEADER, *WITHOUT_HEADER)


def batch(invites: Any, **given: Any) -> SendInviteBatchOperator:
    """Return an operator that may have retries on every Airflow."""
    return batch_task(invites, **{**REMEMBERS, **given})


class Rows:
    """Gives its rows once more each time, as an iterator."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self._rows = rows

    def __iter__(self) -> Iterator[dict[str, Any]]:
        yield from self._rows


class Sources:
    """Makes lists of every kind below a folder, and the task that sends to one."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._monkeypatch = monkeypatch
        self._count = 0

    def task(self, kind: str, rows: list[dict[str, Any]], **given: Any) -> Any:
        """Return an operator that sends to these rows; with a header, all have the columns of the first."""
        fields = {
            **REMEMBERS,
            "task_id": "invite",
            "retry_budget": 1.0,
            "concurrency": 4,
            "message": "Hello <link>",
            **given,
        }
        source = self.given(kind, rows)
        if kind == "query":
            return SqlToOmnichatInviteOperator(**source, **fields)
        return SendInviteBatchOperator(invites=source, **fields)

    def given(self, kind: str, rows: list[dict[str, Any]]) -> Any:
        """Return the argument that gives the rows."""
        self._count += 1
        path = self._folder / f"list{self._count}.{kind}"
        if kind == "query":
            return self._query(path, rows)
        if kind in ("csv", "tsv", "csv.gz"):
            with path.open("w", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if kind == "tsv" else ",")
                writer.writeheader()
                writer.writerows(rows)
            if kind == "csv.gz":
                path.write_bytes(gzip.compress(path.read_bytes()))
            return str(path)
        if kind == "jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
            return str(path)
        half = len(rows) // 2
        made: dict[str, Any] = {
            "list": rows,
            "tuple": tuple(rows),
            "lists in a list": [rows[:half], rows[half:]],
            "iterator": Rows(rows),
        }
        return made[kind]

    def _query(self, path: Path, rows: list[dict[str, Any]]) -> dict[str, str]:
        names = list(rows[0])
        # SQLite takes no two columns that differ by capitals alone in a table, and does in a query.
        selected = ", ".join(f'c{place} AS "{name}"' for place, name in enumerate(names))
        with closing(sqlite3.connect(path)) as database:
            database.execute(f"CREATE TABLE people ({', '.join(f'c{place}' for place in range(len(names)))})")
            marks = ", ".join("?" * len(names))
            database.executemany(f"INSERT INTO people VALUES ({marks})", [[row.get(n) for n in names] for row in rows])
            database.commit()
        conn_id = f"list{self._count}"
        self._monkeypatch.setenv(
            f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps({"conn_type": "sqlite", "host": str(path)})
        )
        return {"conn_id": conn_id, "sql": f"SELECT {selected} FROM people ORDER BY rowid"}


def decorated(function: Any, **given: Any) -> Any:
    from airflow.providers.common.compat.sdk import DAG

    with DAG("invites", schedule=None, start_date=START):
        made: Any = omnichat_invite_task(function, message=MESSAGE, concurrency=4, **{**REMEMBERS, **given})
        return made().operator


def giving(given: Any) -> Any:
    def invite() -> Any:
        return given

    return invite
