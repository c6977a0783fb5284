"""
The result rows of a batch in a table of a database, so that all tries of a task instance together hold each row once.

Rows that stand (accepted, rejected) are written once and never touched again. All others are written anew by each try,
in the same transaction in which what an earlier try wrote of them goes; what is then left of earlier tries is deleted
once this try has them all. So a crash at any moment leaves each row where it was. Only where a query gave its rows in
another order, or a database has no transactions, may one stand twice until the next try has ended.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.model.known_recipients import KnownOutcomes
from airflow_provider_omnichat.campaign.model.rows import Result
from airflow_provider_omnichat.campaign.model.storage_error import StorageError
from airflow_provider_omnichat.campaign.results.sink import FINAL_OUTCOMES
from airflow_provider_omnichat.campaign.results.table_statements import KEY_LENGTH, ResultTableSql
from airflow_provider_omnichat.campaign.sql.cursor import row_values
from airflow_provider_omnichat.campaign.sql.session import SqlDatabase, SqlSession, Words
from airflow_provider_omnichat.campaign.sql.values import fitted, flat, integer, stamp, storable

_MOST_WAITING = 20_000
_PART_OF_THE_TIME = 0.1
_DELETE_ROWS = 250
_READ_ROWS = 2000


class ResultTableError(StorageError):
    """Result rows cannot be written to a table or read from it; the text names the table and what the driver raised."""


_WORDS = Words(ResultTableError, "select, insert and delete, and to create the table if need be")


class ResultTable:
    """
    Keeps result rows in a table; a :class:`~airflow_provider_omnichat.campaign.results.sink.ResultSink`.

    Rows wait until writing them costs no more than a tenth of the time, by how long the last block took: a fast
    database gets them at once, a warehouse in blocks of up to 20,000. Connects when first used.

    :param database: where the table is or shall be.
    :param table: ``table``, ``schema.table`` or ``database.schema.table``; made if it is missing.
    :param batch: the task instance without the try number, and what else sets a batch apart; in the column ``batch``.
    :param try_number: of this try; only for people.
    :param recipient_of: gives the recipient key of a number, for :meth:`earlier`: 32 hexadecimal digits.
    :raises ValueError: when the table's name is not one.
    """

    def __init__(
        self,
        database: SqlDatabase,
        table: str,
        *,
        batch: str,
        try_number: int,
        recipient_of: Callable[[str], str],
    ) -> None:
        self._sql = ResultTableSql(table, database.dialect, database.placeholder)
        self._session = SqlSession(database, self._sql, _WORDS)
        self._location = f"table {table} of {database.location}"
        self._batch = fitted(batch)
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
        """The table and its connection."""
        return self._location

    def earlier(self) -> Mapping[str, Outcome]:
        """
        Give the decided rows of earlier tries, by recipient key, in about 15 bytes a row.

        Makes the table if it is missing, and sees that it can be written to.

        :raises ResultTableError: when it cannot be read or written. Nothing may be sent then.
        """

        def read(cursor: Any) -> tuple[Mapping[str, Outcome], set[str]]:
            known, stale = KnownOutcomes(), set()
            cursor.execute(self._sql.read(), (self._batch,))
            while rows := cursor.fetchmany(_READ_ROWS):
                for batch, recipient, word, try_id in map(row_values, rows):
                    if batch != self._batch:  # where the database does not tell capitals apart
                        continue
                    outcome = self._outcome(word)
                    if outcome in FINAL_OUTCOMES:
                        known.add(self._recipient_of(str(recipient)), outcome)
                    else:
                        stale.add(str(try_id))
            return known or {}, stale

        self._session.write(self._rehearse)
        known, stale = self._session.read(read, streaming=True)
        self._stale = tuple(sorted(stale))
        return known

    def write(self, results: Sequence[tuple[str | None, Result]]) -> None:
        """
        Write rows, or keep them for a later block.

        :param results: recipient key (not written) and row.
        :raises ResultTableError: when they cannot be written. They are kept, and go out with the next rows or with
            :meth:`close`: do not give them again.
        """
        self._waiting.extend(result for _, result in results)
        rested = monotonic() - self._ended
        if len(self._waiting) >= _MOST_WAITING or self._took <= _PART_OF_THE_TIME * (rested + self._took):
            self._send()

    def close(self, whole: bool = True) -> None:
        """
        Write all rows, then delete what earlier tries wrote of undecided rows.

        :param whole: False when this try ended without a row for each row of the list: then those of earlier tries are
            left, since they may be all there is of some.
        :raises ResultTableError: when that fails. It may be called again.
        """
        try:
            self._send()
            if whole and self._stale:
                self._session.write(
                    lambda cursor: cursor.execute(self._sql.delete_rest(len(self._stale)), (self._batch, *self._stale))
                )
                self._stale = ()
        finally:
            self._session.close()

    def _rehearse(self, cursor: Any) -> None:
        # Now, and not when the first invites are out.
        for statement in self._sql.rehearsal():
            cursor.execute(statement)

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
            for part in _parts(rows, _DELETE_ROWS):
                places = [row.position for row in part]
                cursor.execute(self._sql.delete_own(len(part)), (self._batch, self._try, *places))
        self._may_be_there = True  # until it is known: a commit may arrive although its answer does not
        if self._stale:
            statement = self._sql.delete_replaced
            for part in _parts(rows, _DELETE_ROWS):
                places, recipients = [row.position for row in part], [_recipient(row) for row in part]
                cursor.execute(
                    statement(len(self._stale), len(part)), (self._batch, *self._stale, *places, *recipients)
                )
        values = [self._values(row) for row in rows]
        if self._sql.rows_an_insert == 1:
            cursor.executemany(self._sql.insert(1), values)
            return
        for part_of_values in _parts(values, self._sql.rows_an_insert):
            cursor.execute(self._sql.insert(len(part_of_values)), flat(part_of_values))

    def _values(self, row: Result) -> tuple[Any, ...]:
        """Give the values in the order of the table's columns."""
        at = datetime.fromisoformat(row.at).astimezone(UTC)
        return (
            self._batch,
            row.position,
            storable(row.key, KEY_LENGTH),
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
            # SQLite has no type for times; all drivers of others take a datetime.
            stamp(at) if self._sql.dialect == "sqlite" else at.replace(tzinfo=None),
            self._try,
        )

    def _outcome(self, word: object) -> Outcome:
        try:
            return Outcome(str(word))
        except ValueError:
            raise ResultTableError(
                f"The results table {self._sql.name} has a row of this batch with an outcome that is none; nothing was"
                " sent. Was it edited?"
            ) from None


def _recipient(row: Result) -> str:
    return storable(row.to, 64) or ""


def _parts(rows: list[Any], size: int) -> Iterator[list[Any]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))
