"""The rows of a results table, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

from airflow_provider_omnichat.campaign.model.pages import Order, Page, PageError, PageQuery, ShownRow
from airflow_provider_omnichat.campaign.results.table_statements import ResultTableSql
from airflow_provider_omnichat.campaign.sql.cursor import row_values
from airflow_provider_omnichat.campaign.sql.failure import failure_name
from airflow_provider_omnichat.campaign.sql.like import contains
from airflow_provider_omnichat.campaign.sql.session import SqlDatabase
from airflow_provider_omnichat.campaign.sql.values import fitted, moment
from airflow_provider_omnichat.campaign.sql.written_table import lack_of_columns

_COLUMNS = (  # of ShownRow
    "batch, row_key, list_row, recipient, outcome, reason_code, error, status_name, message_id, ended_at, delivery"
)
_SORTED: dict[Order, str] = {
    "list": "list_row",
    "key": "row_key",
    "outcome": "outcome",
    "time": "ended_at",
}
_PASSED_AT_ONCE = 1000
_TAKES_LIMIT = frozenset({"sqlite", "postgresql", "mysql", "duckdb"})


class TablePages:
    """
    Reads the rows that :class:`~airflow_provider_omnichat.campaign.results.table.ResultTable` wrote of one batch.

    :param database: where they are.
    :param table: its name.
    :param batch: the name of the batch in it.
    :raises PageError: when the table's name is not one.
    """

    sorts = True

    def __init__(self, database: SqlDatabase, table: str, batch: str) -> None:
        try:
            self._sql = ResultTableSql(table, database.dialect, database.placeholder)
        except ValueError as error:
            raise PageError(str(error)) from None
        self._database = database
        self._table = table
        self._batch = fitted(batch)

    @property
    def place(self) -> str:
        """The table and its connection."""
        return f"table {self._table} of {self._database.location}"

    def page(self, query: PageQuery) -> Page:
        """See :class:`~airflow_provider_omnichat.campaign.model.pages.RowPages`."""
        rows = self._read(*self._statement(query), query.skipped, query.size + 1)
        more = len(rows) > query.size
        own = [
            _shown(rest) for batch, *rest in rows[: query.size] if batch == self._batch
        ]  # capitals may be alike there
        return Page(own, str(query.skipped + query.size) if more else None)

    def _statement(self, query: PageQuery) -> tuple[str, list[Any]]:
        mark = self._database.placeholder
        wanted = {
            "batch": self._batch,
            "outcome": query.outcome,
            "reason_code": query.reason_code,
            "status_name": query.status,
        }
        parameters: list[Any] = [value for value in wanted.values() if value is not None]
        conditions = [f"{name} = {mark}" for name, value in wanted.items() if value is not None]
        if query.search:
            condition, pattern = contains("row_key", query.search, mark)
            conditions.append(condition)
            parameters.append(pattern)
        direction = " DESC" if query.is_descending else ""
        sql = (
            f"SELECT {_COLUMNS} FROM {self._table} WHERE {' AND '.join(conditions)}"  # noqa: S608 - checked names only
            f" ORDER BY {_SORTED[query.order]}{direction}, list_row, try_id"
        )
        if self._database.dialect in _TAKES_LIMIT:
            sql += f" LIMIT {query.size + 1} OFFSET {query.skipped}"
        return sql, parameters

    def _read(self, sql: str, parameters: Sequence[Any], skipped: int, most: int) -> list[tuple[Any, ...]]:
        try:
            with closing(self._database.connect()) as connection, closing(connection.cursor()) as cursor:
                cursor.execute(sql, parameters)
                left = 0 if self._database.dialect in _TAKES_LIMIT else skipped
                while left > 0 and (passed := cursor.fetchmany(min(left, _PASSED_AT_ONCE))):
                    left -= len(passed)
                return [row_values(row) for row in cursor.fetchmany(most)]
        except Exception as error:  # whatever a driver raises; its text may have parameters in it
            failure = failure_name(error)
        advice = "See that the table is there, and that the connection's user may select from it"
        lacks, advice = lack_of_columns(self._database, self._sql) or (f"cannot be read ({failure})", advice)
        raise PageError(f"The results {self.place} {lacks}. {advice}")


def _shown(row: Sequence[Any]) -> ShownRow:
    key, position, number, outcome, code, error, status, message_id, at, delivery = row
    return ShownRow(
        key=key,
        position=position,
        number=number,
        outcome=str(outcome),
        reason_code=code,
        reason=error,
        status=status,
        message_id=message_id,
        at=None if at is None else moment(at),
        delivery=delivery,
    )
