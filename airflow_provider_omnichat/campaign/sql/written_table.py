"""A table that the provider creates: its columns, how it is found, and what one of an older version lacks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from airflow_provider_omnichat.campaign.sql.session import SqlDatabase

Dialect = Literal["sqlite", "postgresql", "mysql"]
AnyDialect = Literal[Dialect, "duckdb", "other"]
"""What must be known of a database that takes result rows; most are ``other``."""
DIALECTS: tuple[Dialect, ...] = ("sqlite", "postgresql", "mysql")
"""Databases that can hold a ledger: they keep a primary key and undo half a transaction. MariaDB is ``mysql``."""

# Compared byte by byte, and in MySQL within the 3,072 bytes of a key: 282 characters of up to 4 bytes.
NAME_LENGTH = 250

# What became of an accepted invite later; nothing that sends touches it.
DELIVERY_COLUMNS = (
    ("delivery", "VARCHAR(16)"),
    ("delivered_at", "{time}"),
    ("price", "DECIMAL(18, 6)"),
    ("currency", "VARCHAR(8)"),
)


class WrittenTable(ABC):
    """A table in one database; a column that a later version adds must be nullable."""

    __slots__ = ()
    kind: ClassVar[str]
    declared: ClassVar[tuple[tuple[str, str], ...]]
    times: ClassVar[Mapping[str, str]]
    if_missing: ClassVar[str]
    name: str
    dialect: str
    placeholder: str

    @property
    @abstractmethod
    def sql_name(self) -> str:
        """The name as statements have it, with quotes if the table was made with them."""

    @property
    @abstractmethod
    def _key(self) -> str:
        """The columns of the primary key; empty for none."""

    def marks(self, count: int) -> str:
        return ", ".join([self.placeholder] * count)

    @property
    def columns(self) -> Mapping[str, str]:
        time = self.times.get(self.dialect, "TIMESTAMP")
        return {name: kind.format(time=time) for name, kind in self.declared}

    def create(self) -> str:
        lines = [f"    {name} {kind}" for name, kind in self.columns.items()]
        if self._key:
            lines.append(f"    PRIMARY KEY ({self._key})")
        options = " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin" if self.dialect == "mysql" else ""
        return f"CREATE TABLE {self.if_missing}{self.sql_name} (\n" + ",\n".join(lines) + f"\n){options}"

    def probe(self) -> str:
        """Build a statement that reads nothing, and fails if the table or a column is missing."""
        return f"SELECT {', '.join(self.columns)} FROM {self.sql_name} WHERE 1 = 0"  # noqa: S608 - checked names only

    def add(self, column: str) -> str:
        """Build the statement that adds a column to a table of an older version."""
        return f"ALTER TABLE {self.sql_name} ADD COLUMN {column} {self.columns[column]}"

    def missing(self, cursor: Any) -> list[str]:
        """Read which columns the table lacks; fail if there is no table."""
        cursor.execute(f"SELECT * FROM {self.sql_name} WHERE 1 = 0")  # noqa: S608 - as above
        names = [str(column[0]) for column in cursor.description]
        cursor.fetchall()
        # PostgreSQL folds a name without quotes to lower case, some others to upper case, the rest ignore case.
        there = names if self.dialect == "postgresql" else list(map(str.lower, names))
        return [column for column in self.columns if column not in there]

    def is_foreign(self, missing: Collection[str]) -> bool:
        """Return whether a table without these columns is not ours: every version had the required ones."""
        return any("NOT NULL" in self.columns[column] for column in missing)

    def about_missing(self, missing: Collection[str], conn_id: str | None) -> tuple[str, str]:
        lacks = f"lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}"
        if self.is_foreign(missing):
            return lacks, f"It is not a {self.kind} table: name another one, or one that does not exist yet"
        command = f"omnichat-ledger upgrade --conn-id {conn_id or '...'} --table {self.name} --kind {self.kind}"
        return lacks, f"An older version made it: {command} shows the statements that add them; --yes runs them"

    def missing_in(self, database: SqlDatabase) -> tuple[str, str] | None:
        """See :meth:`about_missing`; None if the table has every column, or cannot be read."""
        try:
            with closing(database.connect()) as connection, closing(connection.cursor()) as cursor:
                missing = self.missing(cursor)
        except Exception:  # it is missing or cannot be reached: the caller's own failure says why
            return None
        return self.about_missing(missing, database.conn_id) if missing else None
