"""What became of the invites of a batch, in the table of its results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from airflow_provider_omnichat.api.outcomes import Delivery
from airflow_provider_omnichat.campaign.model.delivery import FinalStatus, SentInvite
from airflow_provider_omnichat.campaign.results.table import ResultTableError
from airflow_provider_omnichat.campaign.results.table_statements import ResultTableSql
from airflow_provider_omnichat.campaign.sql.cursor import row_values
from airflow_provider_omnichat.campaign.sql.delivery import delivery_values
from airflow_provider_omnichat.campaign.sql.session import SqlDatabase, SqlSession, Words
from airflow_provider_omnichat.campaign.sql.values import fitted, moment

_WORDS = Words(ResultTableError, "select and update")


class TableDelivery:
    """
    A :class:`~airflow_provider_omnichat.campaign.model.delivery.DeliveryHome`: columns of the results table.

    Holds the ids of what is unfinished in memory, some 200 bytes each: not every database can give a table in pages.

    :param database: where the table is.
    :param table: see :class:`~airflow_provider_omnichat.campaign.results.table.ResultTable`.
    :param batch: likewise.
    """

    def __init__(self, database: SqlDatabase, table: str, batch: str) -> None:
        self._sql = ResultTableSql(table, database.dialect, database.placeholder)
        self._session = SqlSession(database, self._sql, _WORDS)
        self._batch = fitted(batch)
        self.location = f"table {table} of {database.location}"

    def unfinished(self) -> Iterator[SentInvite]:
        """See :class:`~airflow_provider_omnichat.campaign.model.delivery.DeliveryHome`."""
        for place, message_id, ended_at in self._rows(self._sql.unfinished()):
            yield SentInvite(str(message_id), moment(ended_at), int(place))

    def write(self, statuses: Sequence[FinalStatus]) -> None:
        """See :class:`~airflow_provider_omnichat.campaign.model.delivery.DeliveryHome`."""
        rows = [
            (*delivery_values(each, self._sql.dialect), self._batch, each.invite.place, each.invite.message_id)
            for each in statuses
        ]
        self._session.write(lambda cursor: cursor.executemany(self._sql.deliver(), rows))

    def counts(self) -> Mapping[Delivery, int]:
        """See :class:`~airflow_provider_omnichat.campaign.model.delivery.DeliveryHome`."""
        return {Delivery(word): int(count) for word, count in self._rows(self._sql.count_deliveries())}

    def close(self) -> None:
        """See :class:`~airflow_provider_omnichat.campaign.model.delivery.DeliveryHome`."""
        self._session.close()

    def _rows(self, statement: str) -> list[tuple[Any, ...]]:
        def read(cursor: Any) -> list[tuple[Any, ...]]:
            cursor.execute(statement, (self._batch,))
            return [row_values(row) for row in cursor.fetchall()]

        return self._session.read(read)
