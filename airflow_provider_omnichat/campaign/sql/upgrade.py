"""Adds to a table of an older version the columns that this one needs."""

from __future__ import annotations

from airflow_provider_omnichat.campaign.model.storage_error import StorageError
from airflow_provider_omnichat.campaign.sql.session import SqlDatabase, SqlSession, Words
from airflow_provider_omnichat.campaign.sql.written_table import WrittenTable

_WORDS = Words(StorageError, "select from and alter it; in PostgreSQL, only its owner can alter it")


class TableUpgrade:
    """Upgrades one table; whatever fails raises a :class:`StorageError`."""

    def __init__(self, database: SqlDatabase, table: WrittenTable) -> None:
        self._conn_id = database.conn_id
        self._table = table
        self._session = SqlSession(database, table, _WORDS, as_it_is=True)
        self.close = self._session.close

    def statements(self) -> list[str]:
        """Return the statements that add what the table lacks; none if it has every column."""
        return [self._table.add(column) for column in self._missing()]

    def run(self) -> None:
        """Add what the table lacks."""
        for column in self._missing():
            try:
                self._session.write(lambda cursor, column=column: cursor.execute(self._table.add(column)))  # type: ignore[misc]
            except StorageError:
                if column in self._missing():  # otherwise another process has added it
                    raise

    def _missing(self) -> list[str]:
        missing = self._session.read(self._table.missing)
        if self._table.is_other(missing):
            lacks, advice = self._table.lack(missing, self._conn_id)
            raise StorageError(f"The table {self._table.name} {lacks}; nothing was changed. {advice}")
        return missing
