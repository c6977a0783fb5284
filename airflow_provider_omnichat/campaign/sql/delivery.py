"""What became of accepted invites, in four columns of the table that holds them: the ledger's or one of results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from decimal import Decimal
from typing import Any

from airflow_provider_omnichat.api.outcomes import Delivery
from airflow_provider_omnichat.campaign.model.delivery import FinalStatus, SentInvite
from airflow_provider_omnichat.campaign.model.place import StorageError
from airflow_provider_omnichat.campaign.sql.session import SqlDatabase, SqlSession
from airflow_provider_omnichat.campaign.sql.values import moment, stamp, storable
from airflow_provider_omnichat.campaign.sql.written_table import WrittenTable

_READ_ROWS = 5000


class SqlDeliveries:
    """
    The :class:`.Deliveries` of some rows of a table: *rows_of* has the columns that choose them, with values.

    :param row: the column that identifies one of them.
    :param in_pages: whether they are read in pages. Not every database can; all at once take 200 bytes each.
    """

    def __init__(
        self,
        database: SqlDatabase,
        table: WrittenTable,
        error: type[StorageError],
        rows_of: Mapping[str, str],
        row: str,
        *,
        in_pages: bool = False,
    ) -> None:
        self._table = table
        self._session = SqlSession(database, table, error, "select and update")
        self._parameters = tuple(rows_of.values())
        self._where = " AND ".join(f"{column} = {table.placeholder}" for column in rows_of)
        self._sent = f"{self._where} AND outcome = 'accepted' AND message_id IS NOT NULL"
        self._row = row
        self._in_pages = in_pages
        self.close = self._session.close

    def unfinished(self) -> Iterator[SentInvite]:
        sql = (
            f"SELECT {self._row}, message_id, ended_at FROM {self._table.sql_name}"  # noqa: S608 - checked names only
            f" WHERE {self._sent} AND delivery IS NULL"
        )
        if not self._in_pages:
            yield from map(_invite, self._session.select(sql, self._parameters))
            return
        sql += f" AND {self._row} > {self._table.placeholder} ORDER BY {self._row} LIMIT {_READ_ROWS}"
        last = ""
        while rows := self._session.select(sql, (*self._parameters, last)):
            yield from map(_invite, rows)
            last = rows[-1][0]

    def record(self, statuses: Sequence[FinalStatus]) -> None:
        mark = self._table.placeholder
        sql = (
            f"UPDATE {self._table.sql_name} SET delivery = {mark}, delivered_at = {mark}, price = {mark},"  # noqa: S608 - as above
            f" currency = {mark} WHERE {self._where} AND {self._row} = {mark} AND message_id = {mark}"
        )
        # In the order of the key, in which everything that writes to these tables locks rows.
        rows = [
            (*self._values(each), *self._parameters, each.invite.row, each.invite.message_id)
            for each in sorted(statuses, key=lambda status: status.invite.row)
        ]
        self._session.write(lambda cursor: cursor.executemany(sql, rows))

    def counts(self) -> Mapping[Delivery, int]:
        sql = (
            f"SELECT delivery, COUNT(*) FROM {self._table.sql_name}"  # noqa: S608 - as above
            f" WHERE {self._sent} AND delivery IS NOT NULL GROUP BY delivery"
        )
        return {Delivery(word): int(count) for word, count in self._session.select(sql, self._parameters)}

    def costs(self) -> Mapping[str, Decimal]:
        sql = (
            f"SELECT currency, SUM(price) FROM {self._table.sql_name}"  # noqa: S608 - as above
            f" WHERE {self._sent} AND price IS NOT NULL GROUP BY currency"
        )
        found = self._session.select(sql, self._parameters)
        return {currency or "": round(Decimal(str(total)), 6) for currency, total in found}

    def _values(self, status: FinalStatus) -> tuple[Any, ...]:
        at: Any = status.done_at
        price: Any = status.price
        if self._table.dialect == "sqlite":  # its driver takes neither times nor decimal numbers
            at, price = at and stamp(at), None if price is None else str(price)
        elif at is not None:
            at = at.astimezone(UTC).replace(tzinfo=None)
        return status.delivery.value, at, price, storable(status.currency, 8)


def _invite(row: tuple[Any, ...]) -> SentInvite:
    key, message_id, ended_at = row
    return SentInvite(str(message_id), moment(ended_at), key)
