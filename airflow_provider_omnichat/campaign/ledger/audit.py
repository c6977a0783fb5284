"""How a campaign stands in the ledger of a database: for people who look, and writes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any, NamedTuple

from airflow_provider_omnichat.campaign.ledger.interface import LedgerError
from airflow_provider_omnichat.campaign.ledger.sql_statements import DEFAULT_TABLE, SqlTable
from airflow_provider_omnichat.campaign.sql.cursor import row_values
from airflow_provider_omnichat.campaign.sql.failure import failure_name
from airflow_provider_omnichat.campaign.sql.session import SqlDatabase
from airflow_provider_omnichat.campaign.sql.values import fitted, moment

CLAIMED = "claimed"
"""Stands for the outcome of a claim that nobody has ended yet."""


class Doubt(NamedTuple):
    """
    An invite that may have been sent, or not.

    :param recipient: the number.
    :param row_key: the user's name of the row; None where there is none.
    :param outcome: ``unknown`` or ``claimed``.
    :param reason_code: why, as ``docs/results.md`` lists them; None for a claim.
    :param error: the same for people.
    :param claimed_at: when it was about to be sent, in UTC.
    """

    recipient: str
    row_key: str | None
    outcome: str
    reason_code: str | None
    error: str | None
    claimed_at: datetime


class LedgerAudit:
    """
    Reads one table.

    :param database: where it is.
    :param table: ``table`` or ``schema.table``; not made if it is missing.
    :raises ValueError: when the table's name is not one.
    """

    def __init__(self, database: SqlDatabase, table: str = DEFAULT_TABLE) -> None:
        self._table = SqlTable(table, database.dialect, database.placeholder)
        self._database = database

    def counts(self, campaign: str) -> dict[str, int]:
        """
        Count the invites of a campaign by outcome; a claim that nobody has ended is ``claimed``.

        :param campaign: its name.
        :raises LedgerError: the table is missing, or cannot be read.
        """
        rows = self._read(self._table.count_outcomes(), [fitted(campaign)])
        return {outcome or CLAIMED: int(count) for outcome, count in rows}

    def doubts(self, campaign: str) -> Iterator[Doubt]:
        """
        Give the invites of a campaign that may have been sent, or not, the oldest first.

        :param campaign: its name.
        :raises LedgerError: the table is missing, or cannot be read.
        """
        for number, key, outcome, code, error, at in self._read(self._table.doubts(), [fitted(campaign)]):
            yield Doubt(number, key, outcome or CLAIMED, code, error, moment(at))

    def _read(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        try:
            with closing(self._database.connect()) as connection, closing(connection.cursor()) as cursor:
                cursor.execute(sql, parameters)
                return [row_values(row) for row in cursor.fetchall()]
        except Exception as error:  # whatever a driver raises; its text may have parameters in it
            failure = failure_name(error)
        raise LedgerError(
            f"The ledger table {self._table.name} cannot be read ({failure}). See that it is there, and that the"
            " connection's user may select from it"
        )
