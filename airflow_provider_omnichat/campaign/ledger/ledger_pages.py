"""The invites of a SQL ledger, a page at a time."""

from __future__ import annotations

from airflow_provider_omnichat.campaign.ledger.audit import LedgerAudit, LedgerRow
from airflow_provider_omnichat.campaign.ledger.audit import Order as Column
from airflow_provider_omnichat.campaign.ledger.interface import LedgerError
from airflow_provider_omnichat.campaign.ledger.sql_table import DEFAULT_TABLE
from airflow_provider_omnichat.campaign.model.pages import Order, Page, PageError, PageQuery, ShownRow
from airflow_provider_omnichat.campaign.sql.session import SqlDatabase

_SORTED: dict[Order, Column] = {"list": "claimed_at", "key": "row_key", "outcome": "outcome", "time": "updated"}


class LedgerPages:
    """
    Reads what a task instance has claimed of a campaign.

    :param database: where the ledger is.
    :param campaign: its name.
    :param claimed_by: the task instance; None for the whole campaign.
    :param table: its name; not made if it is missing.
    :raises PageError: when the table's name is not one.
    """

    sorts = True

    def __init__(
        self, database: SqlDatabase, campaign: str, claimed_by: str | None = None, table: str = DEFAULT_TABLE
    ) -> None:
        try:
            self._audit = LedgerAudit(database, table)
        except ValueError as error:
            raise PageError(str(error)) from None
        self._campaign = campaign
        self._claimed_by = claimed_by
        self._place = f"ledger {table} of {database.location}"

    @property
    def place(self) -> str:
        """The table and its connection."""
        return self._place

    def page(self, query: PageQuery) -> Page:
        """See :class:`~airflow_provider_omnichat.campaign.model.pages.RowPages`."""
        try:
            rows = self._audit.rows(
                self._campaign,
                outcome=query.outcome,
                claimed_by=self._claimed_by,
                reason=query.reason_code,
                status=query.status,
                search=query.search,
                order=_SORTED[query.order],
                descending=query.is_descending,
                limit=query.size + 1,
                offset=query.skipped,
            )
        except LedgerError as error:
            raise PageError(str(error)) from None
        more = len(rows) > query.size
        return Page([_shown(row) for row in rows[: query.size]], str(query.skipped + query.size) if more else None)


def _shown(row: LedgerRow) -> ShownRow:
    return ShownRow(
        key=row.row_key,
        position=None,
        number=None if row.is_forgotten else row.recipient,
        outcome=row.outcome,
        reason_code=row.reason_code,
        reason=row.error,
        status=row.status_name,
        message_id=row.message_id,
        at=row.updated,
        delivery=row.delivery,
    )
