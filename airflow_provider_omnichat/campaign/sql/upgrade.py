"""Adding to a table of an older version the columns that this one needs."""

from __future__ import annotations

from airflow_provider_omnichat.campaign.model.storage_error import StorageError
from airflow_provider_omnichat.campaign.sql.session import SqlSession, Words
from airflow_provider_omnichat.campaign.sql.written_table import TableDatabase, WrittenTable


class TableUpgrade:
    """
    Upgrades one table.

    :param database: where it is.
    :param table: with the columns that it needs.
    """

    def __init__(self, database: TableDatabase, table: WrittenTable) -> None:
        self._database = database
        self._table = table
        words = Words(StorageError, "select from and alter it; in PostgreSQL, only its owner can alter it")
        self._session = SqlSession(database, table, words, as_it_is=True)

    def statements(self) -> list[str]:
        """
        Return the statements that add what the table lacks; none if it has every column.

        :raises StorageError: it is not there, cannot be read, or is another kind of table.
        """
        return [self._table.add(column) for column in self._missing()]

    def run(self) -> None:
        """
        Add what the table lacks.

        :raises StorageError: a column is still missing.
        """
        for column in self._missing():
            try:
                self._session.write(lambda cursor, column=column: cursor.execute(self._table.add(column)))  # type: ignore[misc]
            except StorageError:
                if column in self._missing():  # no: another process has added it meanwhile
                    raise

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _missing(self) -> list[str]:
        missing = self._session.read(self._table.missing)
        if self._table.is_other(missing):
            lacks, advice = self._table.lack(missing, self._database.conn_id)
            raise StorageError(f"The table {self._table.name} {lacks}; nothing was changed. {advice}")
        return missing
