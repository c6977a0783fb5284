"""What became of the invites of a campaign, in the ledger of a database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from airflow_provider_omnichat.api.outcomes import Delivery
from airflow_provider_omnichat.campaign.ledger.interface import LedgerError
from airflow_provider_omnichat.campaign.ledger.sql_statements import DEFAULT_TABLE, SqlTable
from airflow_provider_omnichat.campaign.model.delivery import FinalStatus, SentInvite
from airflow_provider_omnichat.campaign.sql.cursor import row_values
from airflow_provider_omnichat.campaign.sql.delivery import delivery_values
from airflow_provider_omnichat.campaign.sql.session import SqlDatabase, SqlSession, Words
from airflow_provider_omnichat.campaign.sql.values import fitted, moment

_WORDS = Words(LedgerError, "select and update")
_READ_ROWS = 5000


class LedgerDelivery:
    """
    A :class:`~airflow_provider_omnichat.campaign.model.delivery.DeliveryHome`: columns of the ledger's table.

    :param database: where the table is.
    :param campaign: its name.
    :param table: ``table`` or ``schema.table``.
    :param owner: only what this task instance has sent; everybody's of the campaign if None.
    :raises ValueError: when the table's name is not one.
    """

    def __init__(
        self, database: SqlDatabase, campaign: str, table: str = DEFAULT_TABLE, owner: str | None = None
    ) -> None:
        self._table = SqlTable(table, database.dialect, database.placeholder)
        self._session = SqlSession(database, self._table, _WORDS)
        self._campaign = fitted(campaign)
        self._of = (self._campaign,) if owner is None else (self._campaign, fitted(owner))
        self.location = f"ledger table {table}" + (f" of {database.location}" if database.location else "")

    def unfinished(self) -> Iterator[SentInvite]:
        """See :class:`~airflow_provider_omnichat.campaign.model.delivery.DeliveryHome`."""
        last = ""
        while rows := self._session.read(lambda cursor, after=last: self._page(cursor, after)):  # type: ignore[misc]
            for recipient, message_id, ended_at in rows:
                yield SentInvite(str(message_id), moment(ended_at), str(recipient))
            last = str(rows[-1][0])

    def write(self, statuses: Sequence[FinalStatus]) -> None:
        """See :class:`~airflow_provider_omnichat.campaign.model.delivery.DeliveryHome`."""
        # In the order of the numbers, as whatever else locks rows here does it.
        rows = [
            (*delivery_values(each, self._table.dialect), self._campaign, each.invite.place, each.invite.message_id)
            for each in sorted(statuses, key=lambda status: str(status.invite.place))
        ]
        self._session.write(lambda cursor: cursor.executemany(self._table.deliver(), rows))

    def counts(self) -> Mapping[Delivery, int]:
        """See :class:`~airflow_provider_omnichat.campaign.model.delivery.DeliveryHome`."""

        def read(cursor: Any) -> dict[Delivery, int]:
            cursor.execute(self._table.count_deliveries(len(self._of) > 1), self._of)
            return {Delivery(word): int(count) for word, count in map(row_values, cursor.fetchall())}

        return self._session.read(read)

    def close(self) -> None:
        """See :class:`~airflow_provider_omnichat.campaign.model.delivery.DeliveryHome`."""
        self._session.close()

    def _page(self, cursor: Any, after: str) -> list[tuple[Any, ...]]:
        cursor.execute(self._table.unfinished(_READ_ROWS, len(self._of) > 1), (*self._of, after))
        return [row_values(row) for row in cursor.fetchall()]
