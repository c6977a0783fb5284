"""How campaigns stand in the ledger of a database: for people who look, and writes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any, NamedTuple

from airflow_provider_omnichat.campaign.ledger.audit_statements import ROW_COLUMNS, AuditStatements, Order
from airflow_provider_omnichat.campaign.ledger.desk import forgotten_name
from airflow_provider_omnichat.campaign.ledger.interface import LedgerError
from airflow_provider_omnichat.campaign.ledger.sql_statements import COLUMNS, DEFAULT_TABLE, FORGOTTEN
from airflow_provider_omnichat.campaign.phone.identity import identity_of
from airflow_provider_omnichat.campaign.sql.cursor import row_values
from airflow_provider_omnichat.campaign.sql.failure import failure_name
from airflow_provider_omnichat.campaign.sql.session import SqlDatabase
from airflow_provider_omnichat.campaign.sql.values import fitted, moment, stamp
from airflow_provider_omnichat.campaign.sql.written_table import lack_of_columns

CLAIMED = "claimed"
"""Stands for the outcome of a claim that nobody has ended yet."""

_PAGE = 1000


class LedgerRow(NamedTuple):
    """
    One invite of a campaign.

    :param recipient: the number; of one that was forgotten what stands for it.
    :param row_key: the user's name of the row; None where there is none.
    :param outcome: one of the words of the results, or ``claimed``.
    :param reason_code: why it was not accepted, or was in doubt, as ``docs/reference/results.md`` lists them.
    :param error: the same for people.
    :param since: what became since of what is in doubt.
    :param message_id: of the vendor.
    :param status_name: of the vendor's status.
    :param delivery: what became of it after it was accepted, where somebody asked.
    :param claimed_by: the task instance that sent it.
    :param claimed_at: when it was about to be sent, in UTC.
    :param updated: when it was last written to, in UTC.
    :param settled_as: ``sent`` or ``not_sent``, where somebody has settled a doubt.
    :param settled_by: who.
    :param settled_why: why.
    """

    recipient: str
    row_key: str | None
    outcome: str
    reason_code: str | None
    error: str | None
    since: str | None
    message_id: str | None
    status_name: str | None
    delivery: str | None
    claimed_by: str
    claimed_at: datetime
    updated: datetime
    settled_as: str | None
    settled_by: str | None
    settled_why: str | None

    @property
    def is_forgotten(self) -> bool:
        """Whether the number was erased."""
        return self.recipient.startswith(FORGOTTEN)


class CampaignAge(NamedTuple):
    """
    A campaign of which nothing happened for long.

    :param campaign: its name, as the table has it.
    :param invites: how many it has.
    :param in_doubt: how many of them nobody has settled.
    :param last: when something happened, in UTC.
    """

    campaign: str
    invites: int
    in_doubt: int
    last: datetime


class LedgerAudit:
    """
    Reads one table.

    :param database: where it is.
    :param table: ``table`` or ``schema.table``; not made if it is missing.
    :raises ValueError: when the table's name is not one.
    """

    def __init__(self, database: SqlDatabase, table: str = DEFAULT_TABLE) -> None:
        self._table = AuditStatements(table, database.dialect, database.placeholder)
        self._database = database

    def counts(self, campaign: str) -> dict[str, int]:
        """
        Count the invites of a campaign by outcome; a claim that nobody has ended is ``claimed``.

        :param campaign: its name.
        :raises LedgerError: the table is missing, or cannot be read.
        """
        counts: dict[str, int] = {}
        for (outcome, _), count in self.reasons(campaign).items():
            counts[outcome] = counts.get(outcome, 0) + count
        return counts

    def reasons(self, campaign: str) -> dict[tuple[str, str | None], int]:
        """
        Count the invites of a campaign by outcome and reason code.

        :param campaign: its name.
        :raises LedgerError: the table is missing, or cannot be read.
        """
        rows = self._read(self._table.count_reasons(), [fitted(campaign)])
        return {(outcome or CLAIMED, code): int(count) for outcome, code, count in rows}

    def rows(
        self,
        campaign: str,
        *,
        outcome: str | Sequence[str] | None = None,
        claimed_by: str | None = None,
        reason: str | None = None,
        status: str | None = None,
        search: str | None = None,
        order: Order = "claimed_at",
        descending: bool = False,
        limit: int = 50,
        offset: int = 0,
        after: LedgerRow | None = None,
    ) -> list[LedgerRow]:
        """
        Give a page of the invites of a campaign.

        :param campaign: its name.
        :param outcome: only those that ended so; ``claimed`` for a claim that nobody has ended. Several are one or the
            other.
        :param claimed_by: only those of this task instance.
        :param reason: only those with this reason code.
        :param status: only those with this name of the vendor's status.
        :param search: only those whose row key has this in it, or whose number is this.
        :param order: by which column; rows that are alike in it come by recipient.
        :param descending: the last first.
        :param limit: how many at most.
        :param offset: how many are left out before. The database reads them all the same: *after* is as fast on the
            last page as on the first.
        :param after: the last row of the page before.
        :raises LedgerError: the table is missing, or cannot be read.
        """
        outcomes = [outcome] if isinstance(outcome, str) else list(outcome or ())
        sql, parameters = self._table.page(
            outcomes=[each for each in outcomes if each != CLAIMED],
            open_too=CLAIMED in outcomes,
            claimed_by=None if claimed_by is None else fitted(claimed_by),
            reason=reason,
            status=status,
            search=search,
            order=order,
            descending=descending,
            after=None if after is None else (_place(after, order), after.recipient),
        )
        rows = self._read(sql, [fitted(campaign), *parameters, limit, offset])
        return [_row(row) for row in rows]

    def find(self, campaign: str, row_key: str) -> list[LedgerRow]:
        """
        Give the invites of a campaign with this row key: one, unless the list had it twice.

        :param campaign: its name.
        :param row_key: the user's name of the row.
        :raises LedgerError: the table is missing, or cannot be read.
        """
        rows = map(_row, self._read(self._table.by_key(), [fitted(campaign), row_key]))
        return [row for row in rows if row.row_key == row_key]  # MySQL takes "a" and "a " for one

    def doubts(self, campaign: str, claimed_by: str | None = None) -> Iterator[LedgerRow]:
        """
        Give the invites of a campaign that may have been sent, or not, the oldest first; in pages, however many.

        :param campaign: its name.
        :param claimed_by: only those of this task instance.
        :raises LedgerError: the table is missing, or cannot be read.
        """
        last = None
        while page := self.rows(campaign, outcome=("unknown", CLAIMED), claimed_by=claimed_by, limit=_PAGE, after=last):
            yield from page
            last = page[-1]

    def about(self, number: str) -> list[dict[str, Any]]:
        """
        Give all that the ledger holds of a number, over all campaigns; also what is left of it where it was forgotten.

        :param number: in international format, digits only.
        :return: rows by column.
        :raises LedgerError: the table is missing, or cannot be read.
        """
        identity = identity_of(number)
        rows = self._read(self._table.about(), [identity])
        for campaign, name in self._read(self._table.forgotten(), []):
            if name == forgotten_name(campaign, identity):
                rows += self._read(self._table.about(), [name])
        return [dict(zip(COLUMNS, row, strict=True)) for row in rows]

    def older_campaigns(self, before: datetime) -> list[CampaignAge]:
        """
        Give the campaigns of which nothing happened since, the oldest first.

        :param before: when something has happened last, at most.
        :raises LedgerError: the table is missing, or cannot be read.
        """
        rows = self._read(self._table.older_campaigns(), [stamp(before)])
        return [CampaignAge(name, int(count), int(doubts or 0), moment(last)) for name, count, doubts, last in rows]

    def _read(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        try:
            with closing(self._database.connect()) as connection, closing(connection.cursor()) as cursor:
                cursor.execute(sql, parameters)
                return [row_values(row) for row in cursor.fetchall()]
        except Exception as error:  # whatever a driver raises; its text may have parameters in it
            failure = failure_name(error)
        at = f" of {self._database.location}" if self._database.location else ""
        advice = "See that it is there, and that the connection's user may select from it"
        lacks, advice = lack_of_columns(self._database, self._table) or (f"cannot be read ({failure})", advice)
        raise LedgerError(f"The ledger table {self._table.name}{at} {lacks}. {advice}")


def _row(row: tuple[Any, ...]) -> LedgerRow:
    of = dict(zip(ROW_COLUMNS, row, strict=True))
    of["outcome"] = of["outcome"] or CLAIMED
    return LedgerRow(**{**of, "claimed_at": moment(of["claimed_at"]), "updated": moment(of["updated"])})


def _place(row: LedgerRow, order: Order) -> str:
    """Give the value of a row by which its page was sorted."""
    if order == "outcome":
        return "" if row.outcome == CLAIMED else row.outcome
    value = getattr(row, order)
    return stamp(value) if isinstance(value, datetime) else value or ""
