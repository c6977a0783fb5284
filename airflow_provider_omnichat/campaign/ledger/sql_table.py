"""The table of the SQL ledger: its name and its columns, in the words of each database."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from airflow_provider_omnichat.campaign.sql.written_table import (
    DELIVERY_COLUMNS,
    DIALECTS,
    NAME_LENGTH,
    AnyDialect,
    WrittenTable,
)

DEFAULT_TABLE = "omnichat_invites"

_LONGEST_NAME = 50  # PostgreSQL takes 63, and names the key after the table
_NAME = re.compile(rf"[A-Za-z_][A-Za-z0-9_]{{0,{_LONGEST_NAME - 1}}}", re.ASCII)

_COLUMNS = (
    ("campaign", f"VARCHAR({NAME_LENGTH}) NOT NULL"),
    ("recipient", "VARCHAR(32) NOT NULL"),
    ("row_key", "TEXT"),
    ("outcome", "VARCHAR(16)"),
    ("message_id", "VARCHAR(255)"),
    ("status_group", "INTEGER"),
    ("status_id", "INTEGER"),
    ("status_name", "VARCHAR(255)"),
    ("message_count", "INTEGER"),
    ("attempts", "INTEGER NOT NULL"),
    ("reason_code", "VARCHAR(40)"),
    ("error", "TEXT"),
    ("since", "TEXT"),
    ("answer", "TEXT"),
    ("claimed_by", f"VARCHAR({NAME_LENGTH}) NOT NULL"),
    ("claim_id", "CHAR(32) NOT NULL"),
    ("claimed_at", "{time} NOT NULL"),
    ("ended_at", "{time}"),
    ("first_at", "{time}"),
    ("settled_as", "VARCHAR(8)"),
    ("settled_by", f"VARCHAR({NAME_LENGTH})"),
    ("settled_at", "{time}"),
    ("settled_why", "TEXT"),
)
COLUMNS = tuple(name for name, _ in _COLUMNS)
SETTLED_COLUMNS = ("settled_as", "settled_by", "settled_at", "settled_why")
"""Written when somebody settles a doubt, and kept when the invite is claimed again."""
RECORD_COLUMNS = tuple(name for name in COLUMNS if name not in {*SETTLED_COLUMNS, "first_at"})
CLAIM_ONLY = frozenset({"campaign", "recipient", "claimed_by", "claim_id", "claimed_at"})
"""Columns that only a claim writes, never an outcome."""

NO_CAMPAIGN, ID_KEY = "", "message-ids"
"""Campaign and recipient of the row that holds the key of message ids, as its claim_id; nobody's invite."""

FORGOTTEN = "x"
"""With what a recipient begins that was forgotten: numbers have digits only, and sort before it everywhere."""

# No date type means the same in all three. These are without a zone, and hold UTC.
_TIME = {"sqlite": "TEXT", "postgresql": "TIMESTAMP(6)", "mysql": "DATETIME(6)"}


@dataclass(frozen=True, slots=True)
class SqlTable(WrittenTable):
    """
    The ledger's table in one database.

    :param name: ``table`` or ``schema.table``; letters, digits and underscores, at most 50 of them in each.
    :param dialect: one of :data:`DIALECTS`.
    :param placeholder: what the driver takes for a parameter, ``?`` or ``%s``.
    :raises ValueError: when one of them is anything else.
    """

    kind: ClassVar = "ledger"
    declared: ClassVar = _COLUMNS + DELIVERY_COLUMNS
    times: ClassVar = _TIME
    if_missing: ClassVar = "IF NOT EXISTS "
    # It begins with the recipient: a block then finds its rows by number whatever the planner knows of campaigns
    # (PostgreSQL, with a new table, read all of the campaign for each block), and counting a number's invites over
    # campaigns needs no other index.
    _key: ClassVar = "recipient, campaign"

    name: str
    dialect: AnyDialect
    placeholder: str

    def __post_init__(self) -> None:
        parts = self.name.split(".")
        if len(parts) > 2 or not all(_NAME.fullmatch(part) for part in parts):
            raise ValueError(
                "The ledger's table must be named table or schema.table, each of letters, digits and underscores,"
                f" not beginning with a digit and at most {_LONGEST_NAME} long; not {self.name!r}"
            )
        if self.dialect not in DIALECTS:
            raise ValueError(f"The ledger's dialect must be one of {', '.join(DIALECTS)}, not {self.dialect!r}")
        if self.placeholder not in ("?", "%s"):
            raise ValueError(f"The driver's placeholder must be ? or %s, not {self.placeholder!r}")

    @property
    def sql_name(self) -> str:
        """The name in quotes: it may be a word of the database's own."""
        quote = "`" if self.dialect == "mysql" else '"'
        return ".".join(f"{quote}{part}{quote}" for part in self.name.split("."))

    @property
    def rows_a_statement(self) -> int:
        """How many rows go into one statement."""
        # SQLite takes 999 parameters in old builds; psycopg becomes slower a row with thousands of them.
        return 999 // len(RECORD_COLUMNS) if self.dialect == "sqlite" else 250

    def insert(self, columns: Sequence[str], rows: int, alias: str = "") -> str:
        """Return the beginning of a statement that inserts so many rows."""
        values = ", ".join([f"({self.marks(len(columns))})"] * rows)
        return f"INSERT INTO {self.sql_name}{alias} ({', '.join(columns)}) VALUES {values}"  # noqa: S608 - checked names only

    def if_there(self, *columns: str) -> str:
        """Return the end of such a statement: which columns of a row that is there it replaces; none leave it alone."""
        if self.dialect == "mysql":  # its INSERT IGNORE would also swallow other errors, and lock the row less firmly
            updates = [f"{name} = VALUES({name})" for name in columns] or ["claim_id = claim_id"]
            return f"ON DUPLICATE KEY UPDATE {', '.join(updates)}"
        updates = [f"{name} = excluded.{name}" for name in columns]
        return "ON CONFLICT (campaign, recipient) DO " + (f"UPDATE SET {', '.join(updates)}" if updates else "NOTHING")
