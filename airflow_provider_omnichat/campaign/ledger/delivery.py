"""What became of the invites of a campaign, in the ledger of a database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from airflow_provider_omnichat.api.outcomes import Delivery
from airflow_provider_omnichat.campaign.ledger.interface import LedgerError
from airflow_provider_omnichat.campaign.ledger.sql_table import DEFAULT_TABLE, SqlTable
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
        mark = self._table.placeholder
        self._sent = f"campaign = {mark} AND outcome = 'accepted' AND message_id IS NOT NULL"
        self._of: tuple[str, ...] = (self._campaign,)
        if owner is not None:
            self._sent += f" AND claimed_by = {mark}"
            self._of += (fitted(owner),)
        self.location = f"ledger table {table}" + (f" of {database.location}" if database.location else "")

    def unfinished(self) -> Iterator[SentInvite]:
        """See :class:`~airflow_provider_omnichat.campaign.model.delivery.DeliveryHome`."""
        sql = (
            f"SELECT recipient, message_id, ended_at FROM {self._table.sql_name} WHERE {self._sent}"  # noqa: S608 - checked names only
            f" AND delivery IS NULL AND recipient > {self._table.placeholder} ORDER BY recipient LIMIT {_READ_ROWS}"
        )
        last = ""
        while rows := self._select(sql, (*self._of, last)):
            for recipient, message_id, ended_at in rows:
                yield SentInvite(str(message_id), moment(ended_at), str(recipient))
            last = str(rows[-1][0])

    def write(self, statuses: Sequence[FinalStatus]) -> None:
        """See :class:`~airflow_provider_omnichat.campaign.model.delivery.DeliveryHome`."""
        mark = self._table.placeholder
        sql = (
            f"UPDATE {self._table.sql_name} SET delivery = {mark}, delivered_at = {mark}, price = {mark},"  # noqa: S608 - as above
            f" currency = {mark} WHERE campaign = {mark} AND recipient = {mark} AND message_id = {mark}"
        )
        # In the order of the numbers, as everything else that locks rows here.
        rows = [
            (*delivery_values(each, self._table.dialect), self._campaign, each.invite.place, each.invite.message_id)
            for each in sorted(statuses, key=lambda status: str(status.invite.place))
        ]
        self._session.write(lambda cursor: cursor.executemany(sql, rows))

    def counts(self) -> Mapping[Delivery, int]:
        """See :class:`~airflow_provider_omnichat.campaign.model.delivery.DeliveryHome`."""
        rows = self._select(
            f"SELECT delivery, COUNT(*) FROM {self._table.sql_name} WHERE {self._sent}"  # noqa: S608 - as above
            " AND delivery IS NOT NULL GROUP BY delivery",
            self._of,
        )
        return {Delivery(word): int(count) for word, count in rows}

    def close(self) -> None:
        """See :class:`~airflow_provider_omnichat.campaign.model.delivery.DeliveryHome`."""
        self._session.close()

    def _select(self, sql: str, parameters: Sequence[str]) -> list[tuple[Any, ...]]:
        def work(cursor: Any) -> list[tuple[Any, ...]]:
            cursor.execute(sql, parameters)
            return [row_values(row) for row in cursor.fetchall()]

        return self._session.read(work)
