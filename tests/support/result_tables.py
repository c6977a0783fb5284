"""A table of results, and what stands in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from airflow_provider_omnichat.campaign.model.rows import Result
from airflow_provider_omnichat.campaign.results.table import ResultTable
from airflow_provider_omnichat.campaign.sql.session import SqlDatabase
from airflow_provider_omnichat.campaign.sql.written_table import AnyDialect
from tests.support.result_rows import key_of
from tests.support.sql_connections import Database

DIALECTS: dict[str, AnyDialect] = {
    "sqlite3": "sqlite",
    "psycopg2": "postgresql",
    "psycopg": "postgresql",
    "pymysql": "mysql",
    "MySQLdb": "mysql",
    "duckdb": "duckdb",
}
BATCH = "dag/run/invite"
Sink = Callable[..., ResultTable]


def sinks(database: Database, table: str) -> Iterator[Sink]:
    opened: list[Any] = []

    def make(
        try_number: int = 1, batch: str = BATCH, wrapped: Callable[[Any], Any] = lambda connection: connection
    ) -> ResultTable:
        def connect() -> Any:
            opened.append(database.connect())
            return wrapped(opened[-1])

        known = SqlDatabase(connect, DIALECTS[database.driver], database.placeholder, "warehouse")
        return ResultTable(known, table, batch=batch, try_number=try_number, recipient_of=key_of)

    yield make
    for connection in opened:
        try:
            connection.close()
        except Exception:  # closed already
            continue


def rows(database: Database, table: str, batch: str = BATCH) -> list[tuple[int, str, str]]:
    found = database.run(
        f"SELECT list_row, recipient, outcome FROM {table} WHERE batch = ? ORDER BY list_row, outcome", batch
    )
    return [(int(place), to, outcome) for place, to, outcome in found]


def expected(*results: Result) -> list[tuple[int, str, str]]:
    return sorted((result.position, result.to, str(result.outcome)) for result in results)
