"""The SQL ledger as the place where the rows of a campaign are listed and followed; see ``sql_ledger`` for sending."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_omnichat.campaign.ledger.audit import CLAIMED, LedgerAudit, LedgerRow
from airflow_provider_omnichat.campaign.ledger.audit import Order as Column
from airflow_provider_omnichat.campaign.ledger.interface import LedgerError
from airflow_provider_omnichat.campaign.ledger.retake import NEVER_ENDED
from airflow_provider_omnichat.campaign.ledger.sql_table import DEFAULT_TABLE, SqlTable
from airflow_provider_omnichat.campaign.model.delivery import Deliveries
from airflow_provider_omnichat.campaign.model.pages import Order, Page, PageError, PageQuery, ShownRow
from airflow_provider_omnichat.campaign.model.place import PlaceError, UnwrittenPlace
from airflow_provider_omnichat.campaign.sql.delivery import SqlDeliveries
from airflow_provider_omnichat.campaign.sql.session import SqlDatabase
from airflow_provider_omnichat.campaign.sql.values import stored_name

_SORTED: dict[Order, Column] = {"list": "claimed_at", "key": "row_key", "outcome": "outcome", "time": "updated"}


class LedgerPlace(UnwrittenPlace):
    """
    The invites of a campaign in a SQL ledger, or those that one task instance claimed, *owner*.

    Open claims of a task that *has_ended* are in doubt.
    """

    kind = "ledger"
    sorts = True
    # Of those suppressed, only those over the frequency cap were claimed; others never are.
    lists = frozenset({"accepted", "rejected", "not_sent", "unknown", CLAIMED, "held", "suppressed"})

    def __init__(
        self,
        database: SqlDatabase,
        campaign: str,
        owner: str | None = None,
        table: str = DEFAULT_TABLE,
        *,
        has_ended: bool = False,
    ) -> None:
        try:
            ledger = SqlTable(table, database.dialect, database.placeholder)
        except ValueError as error:  # the table's name is invalid
            raise PlaceError(str(error)) from None
        self._audit = LedgerAudit(database, table)
        self._campaign = campaign
        self._owner = owner
        self._has_ended = has_ended
        self._table = table
        self._conn_id = database.conn_id
        self._location = f"table {table}" + (f" of {database.location}" if database.location else "")
        rows_of = {"campaign": stored_name(campaign)}
        if owner is not None:
            rows_of["claimed_by"] = stored_name(owner)
        self._deliveries = SqlDeliveries(database, ledger, LedgerError, rows_of, "recipient", in_pages=True)

    @property
    def location(self) -> str:
        return self._location

    def rows_in(self) -> Mapping[str, str | None]:
        ledger = {"conn_id": self._conn_id, "table": self._table, "campaign": self._campaign}
        return {"kind": self.kind, **ledger, "owner": self._owner}

    def page(self, query: PageQuery) -> Page:
        is_doubt = self._has_ended and query.outcome == "unknown"
        try:
            rows = self._audit.rows(
                self._campaign,
                outcome=("unknown", CLAIMED) if is_doubt else query.outcome,
                claimed_by=self._owner,
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
        shown = [_shown(row, self._has_ended) for row in rows[: query.size]]
        return Page(shown, str(query.skipped + query.size) if more else None)

    def deliveries(self) -> Deliveries:
        """See :class:`.Place`; of a campaign that the table has."""
        if not self._audit.reasons(self._campaign):  # reads only: a missing table is not made here
            raise PlaceError(
                f"The ledger table {self._table} of connection {self._conn_id!r} has no invite of this campaign; check"
                " its name there (with resend_key, it is campaign#resend_key)"
            )
        return self._deliveries

    def close(self, whole: bool = False) -> None:
        self._deliveries.close()


def _shown(row: LedgerRow, has_ended: bool) -> ShownRow:
    if has_ended and row.outcome == CLAIMED:
        row = row._replace(
            outcome="unknown", reason_code=row.reason_code or NEVER_ENDED.code, error=row.error or str(NEVER_ENDED)
        )
    settlement = row.settlement
    reason = f"settled {settlement.described}. It was in doubt: {row.error}" if settlement else row.error
    return ShownRow(
        key=row.row_key,
        position=None,
        number=None if row.is_forgotten else row.recipient,
        outcome=row.outcome,
        reason_code=row.reason_code,
        reason=reason,
        status=row.status_name,
        message_id=row.message_id,
        at=row.updated,
        delivery=row.delivery,
    )
