"""The invites of a SQL ledger, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from airflow_provider_omnichat.campaign.ledger.sql_statements import DEFAULT_TABLE, SqlTable
from airflow_provider_omnichat.campaign.model.pages import Order, Page, PageError, PageQuery, ShownRow
from airflow_provider_omnichat.campaign.sql.cursor import row_values
from airflow_provider_omnichat.campaign.sql.failure import failure_name
from airflow_provider_omnichat.campaign.sql.like import contains
from airflow_provider_omnichat.campaign.sql.session import SqlDatabase
from airflow_provider_omnichat.campaign.sql.values import fitted

CLAIMED = "claimed"
"""Stands for the outcome of a claim that nobody has ended yet."""

_COLUMNS = "row_key, recipient, outcome, reason_code, error, status_name, message_id, COALESCE(ended_at, claimed_at)"
_SORTED: dict[Order, str] = {
    "list": "claimed_at",
    "key": "row_key",
    "outcome": "outcome",
    "time": "COALESCE(ended_at, claimed_at)",
}


class LedgerPages:
    """
    Reads one campaign.

    :param database: where the ledger is.
    :param table: its name; not made if it is missing.
    :param campaign: its name.
    :param claimed_by: only what this task instance has claimed; None for the whole campaign.
    :raises PageError: when the table's name is not one.
    """

    sorts = True

    def __init__(
        self, database: SqlDatabase, campaign: str, claimed_by: str | None = None, table: str = DEFAULT_TABLE
    ) -> None:
        try:
            self._sql = SqlTable(table, database.dialect, database.placeholder)
        except ValueError as error:
            raise PageError(str(error)) from None
        self._database = database
        self._campaign = fitted(campaign)
        self._claimed_by = fitted(claimed_by) if claimed_by else None

    @property
    def place(self) -> str:
        """The table and its connection."""
        return f"ledger {self._sql.name} of {self._database.location}"

    def page(self, query: PageQuery) -> Page:
        """See :class:`~airflow_provider_omnichat.campaign.model.pages.RowPages`."""
        skipped = int(query.after) if query.after.isdecimal() else 0
        mark = self._database.placeholder
        wanted = {
            "campaign": self._campaign,
            "claimed_by": self._claimed_by,
            "outcome": None if query.outcome == CLAIMED else query.outcome,
            "reason_code": query.reason_code,
            "status_name": query.status,
        }
        conditions = [f"{name} = {mark}" for name, value in wanted.items() if value is not None]
        parameters: list[Any] = [value for value in wanted.values() if value is not None]
        if query.outcome == CLAIMED:
            conditions.append("outcome IS NULL")
        if query.search:
            condition, pattern = contains("row_key", query.search, mark)
            conditions.append(condition)
            parameters.append(pattern)
        direction = " DESC" if query.is_descending else ""
        order = f"{_SORTED[query.order]}{direction}, recipient"
        sql = self._sql.page(_COLUMNS, conditions, order, query.size + 1, skipped)
        rows = self._read(sql, parameters)
        more = len(rows) > query.size
        return Page([_shown(row) for row in rows[: query.size]], str(skipped + query.size) if more else None)

    def _read(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        try:
            with closing(self._database.connect()) as connection, closing(connection.cursor()) as cursor:
                cursor.execute(sql, parameters)
                return [row_values(row) for row in cursor.fetchall()]
        except Exception as error:  # whatever a driver raises; its text may have parameters in it
            failure = failure_name(error)
        raise PageError(
            f"The {self.place} cannot be read ({failure}). See that the table is there, and that the connection's user"
            " may select from it"
        )


def _shown(row: Sequence[Any]) -> ShownRow:
    key, number, outcome, code, error, status, message_id, at = row
    moment = at if isinstance(at, datetime) or at is None else datetime.fromisoformat(str(at))
    return ShownRow(
        key=key,
        position=None,
        number=number,
        outcome=outcome or CLAIMED,
        reason_code=code,
        reason=error,
        status=status,
        message_id=message_id,
        at=moment.replace(tzinfo=UTC) if moment else None,
    )
