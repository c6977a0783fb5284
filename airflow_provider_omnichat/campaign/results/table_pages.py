"""The rows of a results table, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_omnichat.campaign.model.pages import Order, Page, PageError, PageQuery, ShownRow
from airflow_provider_omnichat.campaign.sql.session import SqlDatabase, select
from airflow_provider_omnichat.campaign.sql.values import contains, moment
from airflow_provider_omnichat.campaign.sql.written_table import WrittenTable

_COLUMNS = (  # of ShownRow
    "batch, row_key, list_row, recipient, outcome, reason_code, error, status_name, message_id, ended_at, delivery"
)
_SORTED: dict[Order, str] = {"list": "list_row", "key": "row_key", "outcome": "outcome", "time": "ended_at"}
_PASSED_AT_ONCE = 1000
_TAKES_LIMIT = frozenset({"sqlite", "postgresql", "mysql", "duckdb"})


def page_of(database: SqlDatabase, table: WrittenTable, batch: str, query: PageQuery) -> Page:
    """Read a page of a batch; raise PageError if the table cannot be read."""
    sql, parameters = _statement(table, batch, query)
    rows = select(database, table, PageError, sql, parameters, lambda cursor: _rows_from(cursor, table, query))
    more = len(rows) > query.size
    # Of this batch alone, in a database that ignores case.
    own = [_shown(rest) for name, *rest in rows[: query.size] if name == batch]
    return Page(own, str(query.skipped + query.size) if more else None)


def _statement(table: WrittenTable, batch: str, query: PageQuery) -> tuple[str, list[Any]]:
    mark = table.placeholder
    wanted = {"batch": batch, "outcome": query.outcome, "reason_code": query.reason_code, "status_name": query.status}
    parameters: list[Any] = [value for value in wanted.values() if value is not None]
    conditions = [f"{name} = {mark}" for name, value in wanted.items() if value is not None]
    if query.search:
        condition, pattern = contains("row_key", query.search, mark)
        conditions.append(condition)
        parameters.append(pattern)
    direction = " DESC" if query.is_descending else ""
    sql = (
        f"SELECT {_COLUMNS} FROM {table.sql_name} WHERE {' AND '.join(conditions)}"  # noqa: S608 - checked names only
        f" ORDER BY {_SORTED[query.order]}{direction}, list_row, try_id"
    )
    if table.dialect in _TAKES_LIMIT:
        sql += f" LIMIT {query.size + 1} OFFSET {query.skipped}"
    return sql, parameters


def _rows_from(cursor: Any, table: WrittenTable, query: PageQuery) -> Sequence[Any]:
    left = 0 if table.dialect in _TAKES_LIMIT else query.skipped
    while left > 0 and (passed := cursor.fetchmany(min(left, _PASSED_AT_ONCE))):
        left -= len(passed)
    rows: Sequence[Any] = cursor.fetchmany(query.size + 1)
    return rows


def _shown(row: Sequence[Any]) -> ShownRow:
    key, position, number, outcome, code, error, status, message_id, at, delivery = row
    ended = None if at is None else moment(at)
    return ShownRow(key, position, number, str(outcome), code, error, status, message_id, ended, delivery=delivery)
