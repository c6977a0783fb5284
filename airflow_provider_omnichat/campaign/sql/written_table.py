"""A table that the provider makes: its columns, how it is found and made, and what one of an older version lacks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from typing import Any, ClassVar, Protocol

_REQUIRED = "NOT NULL"


class TableDatabase(Protocol):
    """What must be known of a database to look at a table in it."""

    @property
    def connect(self) -> Callable[[], Any]: ...  # noqa: D102 - makes a DB-API connection
    @property
    def conn_id(self) -> str | None: ...  # noqa: D102 - of Airflow's connection; None if it has none
    @property
    def location(self) -> str | None: ...  # noqa: D102 - the same for people


class WrittenTable(ABC):
    """The statements for one table; its columns are declared once, by its subclass."""

    __slots__ = ()
    kind: ClassVar[str]
    name: str
    dialect: str

    @property
    @abstractmethod
    def columns(self) -> Mapping[str, str]:
        """The columns in their order, each with its declaration. One that a later version adds must be nullable."""

    @property
    @abstractmethod
    def _table(self) -> str:
        """The name, as it stands in statements."""

    @abstractmethod
    def create(self) -> str:
        """Build the statement that makes the table."""

    def probe(self) -> str:
        """Read nothing, and fail where the table or a column of it is missing."""
        return f"SELECT {', '.join(self.columns)} FROM {self._table} WHERE 1 = 0"  # noqa: S608 - checked names only

    def add(self, column: str) -> str:
        """Build the statement that adds a column to a table of an older version."""
        return f"ALTER TABLE {self._table} ADD COLUMN {column} {self.columns[column]}"

    def missing(self, cursor: Any) -> list[str]:
        """Read which columns the table lacks; fail where there is no table."""
        cursor.execute(f"SELECT * FROM {self._table} WHERE 1 = 0")  # noqa: S608 - as above
        names = [str(column[0]) for column in cursor.description]
        cursor.fetchall()
        # PostgreSQL makes names without quotes small and takes no others for them; some databases make them large.
        there = names if self.dialect == "postgresql" else list(map(str.lower, names))
        return [column for column in self.columns if column not in there]

    def is_other(self, missing: Collection[str]) -> bool:
        """Return whether a table that lacks these columns is none of ours: every version had the required ones."""
        return any(_REQUIRED in self.columns[column] for column in missing)

    def lack(self, missing: Collection[str], conn_id: str | None) -> tuple[str, str]:
        """Describe which columns are missing, and what to do about it."""
        lacks = f"lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}"
        if self.is_other(missing):
            return lacks, f"It is not a {self.kind} table: name another one, or one that does not exist yet"
        command = f"omnichat-ledger upgrade --conn-id {conn_id or '...'} --table {self.name} --kind {self.kind}"
        return (
            lacks,
            f"An older version made it: {command} shows the statements that add them, and runs them with --yes",
        )


def lack_of_columns(database: TableDatabase, table: WrittenTable) -> tuple[str, str] | None:
    """
    Describe which columns a table lacks, and what to do about it; None if it has all of them, or cannot be read.

    :param database: where it is.
    :param table: that a statement has failed on.
    """
    try:
        with closing(database.connect()) as connection, closing(connection.cursor()) as cursor:
            missing = table.missing(cursor)
    except Exception:  # it is not there or cannot be reached: the caller's own failure says why
        return None
    return table.lack(missing, database.conn_id) if missing else None
