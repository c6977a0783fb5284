"""The table of result rows: how it is made, and every statement that touches it, in words that most databases take."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from airflow_provider_omnichat.campaign.results.sink import FINAL_OUTCOMES
from airflow_provider_omnichat.campaign.sql.dialect import NAME_LENGTH, AnyDialect
from airflow_provider_omnichat.campaign.sql.written_table import DELIVERY_COLUMNS, WrittenTable

KEY_LENGTH = 1000
_LONGEST_NAME = 63
_NAME = re.compile(rf"[A-Za-z_][A-Za-z0-9_]{{0,{_LONGEST_NAME - 1}}}", re.ASCII)

_COLUMNS = (
    ("batch", f"VARCHAR({NAME_LENGTH}) NOT NULL"),
    ("list_row", "INTEGER NOT NULL"),
    ("row_key", f"VARCHAR({KEY_LENGTH})"),
    ("recipient", "VARCHAR(64)"),
    ("outcome", "VARCHAR(16) NOT NULL"),
    ("message_id", "VARCHAR(255)"),
    ("status_group", "INTEGER"),
    ("status_id", "INTEGER"),
    ("status_name", "VARCHAR(255)"),
    ("message_count", "INTEGER"),
    ("attempts", "INTEGER NOT NULL"),
    ("reason_code", "VARCHAR(40)"),
    ("error", "VARCHAR(1000)"),
    ("ended_at", "{time} NOT NULL"),
    ("try_id", "VARCHAR(40) NOT NULL"),
)
COLUMNS = tuple(name for name, _ in _COLUMNS)
"""The columns, in their order."""

# Without a zone, and in UTC.
_TIME = {"sqlite": "TEXT", "mysql": "DATETIME(6)"}
# Whoever keeps to a key finds the rows of a batch by it. Nothing here relies on that.
_KEEPS_A_KEY = frozenset({"sqlite", "postgresql", "mysql", "duckdb"})
_UNDECIDED = "outcome NOT IN (" + ", ".join(f"'{outcome}'" for outcome in sorted(FINAL_OUTCOMES)) + ")"


def check_result_table(name: str) -> None:
    """
    Refuse what is not the name of a table.

    :param name: ``table``, ``schema.table`` or ``database.schema.table``; letters, digits and underscores.
    :raises ValueError: when it is anything else.
    """
    parts = str(name).split(".")
    if not 1 <= len(parts) <= 3 or not all(_NAME.fullmatch(part) for part in parts):
        raise ValueError(
            "results_table must be table, schema.table or database.schema.table, each of letters, digits and"
            f" underscores, beginning with no digit and at most {_LONGEST_NAME} long; not {name!r}"
        )


@dataclass(frozen=True, slots=True)
class ResultTableSql(WrittenTable):
    """
    The statements for one table.

    Names stand without quotes, so that they mean what they mean in the user's own queries.

    :param name: see :func:`check_result_table`.
    :param dialect: of the database.
    :param placeholder: what the driver takes for a parameter, ``?`` or ``%s``.
    """

    kind: ClassVar = "results"
    declared: ClassVar = _COLUMNS + DELIVERY_COLUMNS
    times: ClassVar = _TIME
    if_missing: ClassVar = ""  # not all know IF NOT EXISTS: it fails where there is one

    name: str
    dialect: AnyDialect
    placeholder: str

    def __post_init__(self) -> None:
        check_result_table(self.name)

    @property
    def rows_an_insert(self) -> int:
        """
        How many rows go into one statement where ``executemany`` would make a round trip of each; else 1.

        psycopg2 and DuckDB do that. psycopg becomes slower a row with thousands of parameters.
        """
        return 250 if self.dialect in ("postgresql", "duckdb") else 1

    def rehearsal(self) -> tuple[str, str]:
        """Delete and insert nothing, and fail where that is not allowed."""
        columns = ", ".join(COLUMNS)
        return (
            f"DELETE FROM {self.name} WHERE 1 = 0",  # noqa: S608 - as above
            f"INSERT INTO {self.name} ({columns}) SELECT {columns} FROM {self.name} WHERE 1 = 0",  # noqa: S608
        )

    def read(self) -> str:
        """Read what there is of a batch. Parameters: batch."""
        return f"SELECT batch, recipient, outcome, try_id FROM {self.name} WHERE batch = {self.placeholder}"  # noqa: S608

    def insert(self, rows: int) -> str:
        """Insert rows. Parameters: those of :data:`COLUMNS` for each row."""
        row = f"({self._marks(len(COLUMNS))})"
        return f"INSERT INTO {self.name} ({', '.join(COLUMNS)}) VALUES {', '.join([row] * rows)}"  # noqa: S608

    def delete_own(self, rows: int) -> str:
        """Delete what this try may have written of these rows. Parameters: batch, try_id, the rows."""
        return (
            f"DELETE FROM {self.name} WHERE batch = {self.placeholder} AND try_id = {self.placeholder}"  # noqa: S608
            f" AND list_row IN ({self._marks(rows)})"
        )

    def delete_replaced(self, tries: int, rows: int) -> str:
        """
        Delete what earlier tries wrote of undecided rows. Parameters: batch, the tries, the rows, their recipients.

        A query may give its rows in another order each time. A row that goes has both its place and its recipient
        among those that are written in the same transaction, so that neither is ever without a row.
        """
        return (
            f"DELETE FROM {self.name} WHERE batch = {self.placeholder} AND {_UNDECIDED}"  # noqa: S608
            f" AND try_id IN ({self._marks(tries)}) AND list_row IN ({self._marks(rows)})"
            f" AND recipient IN ({self._marks(rows)})"
        )

    def delete_rest(self, tries: int) -> str:
        """Delete what earlier tries wrote of all undecided rows. Parameters: batch, the tries."""
        return (
            f"DELETE FROM {self.name} WHERE batch = {self.placeholder} AND {_UNDECIDED}"  # noqa: S608
            f" AND try_id IN ({self._marks(tries)})"
        )

    def unfinished(self) -> str:
        """Read accepted invites without a final status. Parameters: batch."""
        return (
            f"SELECT list_row, message_id, ended_at FROM {self.name} WHERE {self._sent}"  # noqa: S608 - as above
            " AND delivery IS NULL"
        )

    def deliver(self) -> str:
        """Write a final status. Parameters: delivery, time, price, currency, batch, list_row, message_id."""
        mark = self.placeholder
        return (
            f"UPDATE {self.name} SET delivery = {mark}, delivered_at = {mark}, price = {mark}, currency = {mark}"  # noqa: S608
            f" WHERE batch = {mark} AND list_row = {mark} AND message_id = {mark}"
        )

    def count_deliveries(self) -> str:
        """Count final statuses. Parameters: batch."""
        return (
            f"SELECT delivery, COUNT(*) FROM {self.name} WHERE {self._sent}"  # noqa: S608 - as above
            " AND delivery IS NOT NULL GROUP BY delivery"
        )

    @property
    def _table(self) -> str:
        return self.name

    @property
    def _key(self) -> str:
        return "batch, list_row, try_id" if self.dialect in _KEEPS_A_KEY else ""

    @property
    def _sent(self) -> str:
        return f"batch = {self.placeholder} AND outcome = 'accepted' AND message_id IS NOT NULL"

    def _marks(self, count: int) -> str:
        return ", ".join([self.placeholder] * count)
