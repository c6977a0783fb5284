"""
The result rows of a batch in a table of a database, so that all tries of a task instance together hold each row once.

Rows that stand (accepted, rejected) are written once and never touched again. All others are written again by each try,
in the same transaction that deletes what an earlier try wrote of them; what is then left of earlier tries is deleted
once this try has written every row. So a crash at any moment leaves each row where it was. Only where a query returned
its rows in another order, or a database has no transactions, may one be there twice until the next try has ended.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from time import monotonic
from typing import Any, ClassVar

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.model.delivery import Deliveries
from airflow_provider_omnichat.campaign.model.known_recipients import KnownOutcomes
from airflow_provider_omnichat.campaign.model.pages import Page, PageQuery
from airflow_provider_omnichat.campaign.model.place import DECIDED, Place, PlaceError, StorageError
from airflow_provider_omnichat.campaign.model.rows import Result
from airflow_provider_omnichat.campaign.results.table_pages import page_of
from airflow_provider_omnichat.campaign.sql.delivery import SqlDeliveries
from airflow_provider_omnichat.campaign.sql.drivers import row_values
from airflow_provider_omnichat.campaign.sql.session import SqlDatabase, SqlSession
from airflow_provider_omnichat.campaign.sql.values import flat, integer, stamp, storable, stored_name
from airflow_provider_omnichat.campaign.sql.written_table import DELIVERY_COLUMNS, NAME_LENGTH, AnyDialect, WrittenTable

_KEY_LENGTH = 1000
_LONGEST_NAME = 63
_NAME = re.compile(rf"[A-Za-z_][A-Za-z0-9_]{{0,{_LONGEST_NAME - 1}}}", re.ASCII)

_COLUMNS = (
    ("batch", f"VARCHAR({NAME_LENGTH}) NOT NULL"),
    ("list_row", "INTEGER NOT NULL"),
    ("row_key", f"VARCHAR({_KEY_LENGTH})"),
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
_UNDECIDED = "outcome NOT IN (" + ", ".join(f"'{outcome}'" for outcome in sorted(DECIDED)) + ")"

_MOST_WAITING = 20_000
_SHARE_OF_TIME = 0.1
_DELETE_ROWS = 250
_READ_ROWS = 2000


class ResultTableError(StorageError):
    """Result rows cannot be written to a table or read from it; the text names the table and what the driver raised."""


@dataclass(frozen=True, slots=True)
class ResultSchema(WrittenTable):
    """The name and columns of a table of result rows; PlaceError if the name is not one, two or three parts."""

    kind: ClassVar = "results"
    declared: ClassVar = _COLUMNS + DELIVERY_COLUMNS
    times: ClassVar = {"sqlite": "TEXT", "mysql": "DATETIME(6)"}  # without a zone, and in UTC
    if_missing: ClassVar = ""  # not every database knows IF NOT EXISTS: it fails if there is one

    name: str
    dialect: AnyDialect
    placeholder: str

    def __post_init__(self) -> None:
        parts = str(self.name).split(".")
        if not 1 <= len(parts) <= 3 or not all(_NAME.fullmatch(part) for part in parts):
            raise PlaceError(
                "results_table must be table, schema.table or database.schema.table, each of letters, digits and"
                f" underscores, beginning with no digit and at most {_LONGEST_NAME} long; not {self.name!r}"
            )

    @property
    def sql_name(self) -> str:
        return self.name

    @property
    def _key(self) -> str:
        """See :class:`.WrittenTable`; it only makes the rows of a batch fast to find."""
        return "batch, list_row, try_id" if self.dialect in ("sqlite", "postgresql", "mysql", "duckdb") else ""


class ResultTable(Place):
    """
    A table that holds result rows; connects when first used.

    Rows wait until writing them costs no more than a tenth of the time, by how long the last block took: a fast
    database gets them at once, a warehouse in blocks of up to 20,000. Writing needs *recipient_of*, which returns the
    recipient key of a number.
    """

    kind = "table"
    sorts = True

    def __init__(
        self,
        database: SqlDatabase,
        table: str,
        *,
        batch: str,
        try_number: int = 0,
        recipient_of: Callable[[str], str] | None = None,
    ) -> None:
        self._schema = ResultSchema(table, database.dialect, database.placeholder)
        self._database = database
        self._session = SqlSession(
            database, self._schema, ResultTableError, "select, insert and delete, and to create the table if need be"
        )
        self._batch = batch
        self._stored_batch = stored_name(batch)
        rows_of = {"batch": self._stored_batch}
        self._deliveries = SqlDeliveries(database, self._schema, ResultTableError, rows_of, "list_row")
        # Try numbers come again when a task is run by hand.
        self._try = f"{try_number}-{secrets.token_hex(8)}"
        self._recipient_of = recipient_of
        self._stale: tuple[str, ...] = ()
        self._waiting: list[Result] = []
        self._may_be_there = False
        self._took = 0.0
        self._ended = 0.0

    @property
    def location(self) -> str:
        return f"table {self._schema.name} of {self._database.location}"

    def rows_in(self) -> Mapping[str, str | None]:
        table = {"conn_id": self._database.conn_id, "table": self._schema.name}
        return {"kind": self.kind, **table, "batch": self._batch}

    def earlier(self) -> Mapping[str, Outcome]:
        """See :class:`.Place`; creates a missing table, and makes sure that it can be written to. 15 bytes a row."""
        recipient_of = self._recipient_of
        assert recipient_of is not None, "this place was opened to be read"

        def read(cursor: Any) -> tuple[Mapping[str, Outcome], set[str]]:
            known, stale = KnownOutcomes(), set()
            sql = (
                f"SELECT batch, recipient, outcome, try_id FROM {self._schema.name}"  # noqa: S608 - checked names only
                f" WHERE batch = {self._schema.placeholder}"
            )
            cursor.execute(sql, (self._stored_batch,))
            while rows := cursor.fetchmany(_READ_ROWS):
                for batch, recipient, word, try_id in map(row_values, rows):
                    if batch != self._stored_batch:  # in a database that ignores case
                        continue
                    outcome = self._outcome(word)
                    if outcome in DECIDED:
                        known.add(recipient_of(str(recipient)), outcome)
                    else:
                        stale.add(str(try_id))
            return known or {}, stale

        self._session.write(self._check_rights)
        known, stale = self._session.read(read, streaming=True)
        self._stale = tuple(sorted(stale))
        return known

    def write(self, results: Sequence[tuple[str | None, Result]]) -> None:
        self._waiting.extend(result for _, result in results)
        rested = monotonic() - self._ended
        if len(self._waiting) >= _MOST_WAITING or self._took <= _SHARE_OF_TIME * (rested + self._took):
            self._send()

    def close(self, whole: bool = False) -> None:
        try:
            self._send()
            if whole and self._stale:
                self._session.write(lambda cursor: self._delete(cursor, _UNDECIDED, {"try_id": self._stale}))
                self._stale = ()
        finally:
            self._session.close()
            self._deliveries.close()

    def page(self, query: PageQuery) -> Page:
        return page_of(self._database, self._schema, self._stored_batch, query)

    def deliveries(self) -> Deliveries:
        return self._deliveries

    def _check_rights(self, cursor: Any) -> None:
        """Delete and insert nothing, so that missing rights are found now and not when the first invites are out."""
        name, columns = self._schema.name, ", ".join(COLUMNS)
        cursor.execute(f"DELETE FROM {name} WHERE 1 = 0")  # noqa: S608 - checked names only
        cursor.execute(f"INSERT INTO {name} ({columns}) SELECT {columns} FROM {name} WHERE 1 = 0")  # noqa: S608 - as above

    def _send(self) -> None:
        if not self._waiting:
            return
        began = monotonic()
        self._took = 0.0  # after a failure the next call writes, and does not wait for a larger block
        self._session.write(self._write_waiting)
        self._waiting.clear()
        self._may_be_there = False
        self._ended = monotonic()
        self._took = self._ended - began

    def _write_waiting(self, cursor: Any) -> None:
        rows = self._waiting
        if self._may_be_there:
            for block in _blocks(rows, _DELETE_ROWS):
                self._delete(cursor, None, {"try_id": [self._try], "list_row": [row.position for row in block]})
        self._may_be_there = True  # until it is known: a commit may arrive although its answer does not
        if self._stale:
            for block in _blocks(rows, _DELETE_ROWS):
                # A query may return its rows in another order each time. A row goes only if both its position and its
                # recipient are among those written in this transaction, so that neither is ever without a row.
                positions, recipients = [row.position for row in block], [_recipient(row) for row in block]
                replaced = {"try_id": self._stale, "list_row": positions, "recipient": recipients}
                self._delete(cursor, _UNDECIDED, replaced)
        values = [self._values(row) for row in rows]
        # psycopg2 and DuckDB make a round trip of each row of executemany; psycopg becomes slower a row with thousands
        # of parameters.
        if self._schema.dialect not in ("postgresql", "duckdb"):
            cursor.executemany(self._insert(1), values)
            return
        for several in _blocks(values, 250):
            cursor.execute(self._insert(len(several)), flat(several))

    def _delete(self, cursor: Any, condition: str | None, among: Mapping[str, Sequence[Any]]) -> None:
        chosen = [f"{column} IN ({self._schema.marks(len(values))})" for column, values in among.items()]
        where = " AND ".join([f"batch = {self._schema.placeholder}", *([condition] if condition else []), *chosen])
        sql = f"DELETE FROM {self._schema.name} WHERE {where}"  # noqa: S608 - checked names only
        cursor.execute(sql, (self._stored_batch, *chain.from_iterable(among.values())))

    def _insert(self, rows: int) -> str:
        row = f"({self._schema.marks(len(COLUMNS))})"
        return f"INSERT INTO {self._schema.name} ({', '.join(COLUMNS)}) VALUES {', '.join([row] * rows)}"  # noqa: S608 - as above

    def _values(self, row: Result) -> tuple[Any, ...]:  # in the order of COLUMNS
        at = datetime.fromisoformat(row.at).astimezone(UTC)
        return (
            self._stored_batch,
            row.position,
            storable(row.key, _KEY_LENGTH),
            _recipient(row),
            str(row.outcome),
            storable(row.message_id, 255),
            integer(row.status_group),
            integer(row.status_id),
            storable(row.status_name, 255),
            integer(row.message_count),
            row.attempts,
            row.reason.code.value if row.reason else None,
            storable(row.error, 1000),
            # SQLite has no type for times; the drivers of all others take a datetime.
            stamp(at) if self._schema.dialect == "sqlite" else at.replace(tzinfo=None),
            self._try,
        )

    def _outcome(self, word: object) -> Outcome:
        try:
            return Outcome(str(word))
        except ValueError:
            raise ResultTableError(
                f"The results table {self._schema.name} has a row of this batch with an unknown outcome; nothing was"
                " sent. Was it edited?"
            ) from None


def _recipient(row: Result) -> str:
    return storable(row.to, 64) or ""


def _blocks(rows: list[Any], size: int) -> Iterator[list[Any]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))
