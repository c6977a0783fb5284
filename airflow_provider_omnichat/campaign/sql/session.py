"""A connection to a database, its transactions, what their failures mean, and the upgrade of an older table."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.campaign.model.place import StorageError
from airflow_provider_omnichat.campaign.sql.drivers import (
    advice_on_sqlite,
    failure_name,
    is_conflict,
    is_of_the_statement,
    lacks_rights,
    row_values,
    streaming_cursor,
)
from airflow_provider_omnichat.campaign.sql.written_table import AnyDialect, WrittenTable

T = TypeVar("T")

CONFLICT_SECONDS = 60  # how long a block is tried again while other tasks hold what it needs
_UNREACHABLE = "See that the database is up and the connection right; then a retry or a clear goes on where this ended"


@dataclass(frozen=True, slots=True)
class SqlDatabase:
    """A database; *connect* makes a DB-API connection with autocommit off, in the thread that uses it."""

    connect: Callable[[], Any]
    dialect: AnyDialect
    placeholder: str = "%s"
    conn_id: str | None = None

    @property
    def location(self) -> str | None:
        return None if self.conn_id is None else f"connection {self.conn_id}"


def select(
    database: SqlDatabase,
    table: WrittenTable,
    error: type[Exception],
    sql: str,
    parameters: Sequence[Any] = (),
    fetch: Callable[[Any], Iterable[Any]] = lambda cursor: cursor.fetchall(),
) -> list[tuple[Any, ...]]:
    """Read rows of a table that is not made if it is missing; raise *error* if they cannot be read."""
    try:
        with closing(database.connect()) as connection, closing(connection.cursor()) as cursor:
            cursor.execute(sql, parameters)
            return [row_values(row) for row in fetch(cursor)]
    except Exception as raised:  # whatever a driver raises; its text may have parameters in it
        failure = failure_name(raised)
    at = f" of {database.location}" if database.location else ""
    advice = "See that it is there, and that the connection's user may select from it"
    lacks, advice = table.missing_in(database) or (f"cannot be read ({failure})", advice)
    raise error(f"The {table.kind} table {table.name}{at} {lacks}. {advice}")


class SqlSession:
    """
    Does work in transactions, on a connection that is made when it is first needed.

    The table is created if it is missing, and refused if it lacks columns.

    :param error: raised when the table cannot be read or written; *rights* are what the user needs to be granted.
    """

    def __init__(self, database: SqlDatabase, table: WrittenTable, error: type[StorageError], rights: str) -> None:
        self._database = database
        self._name = f"{table.kind} table {table.name}" + (f" of {database.location}" if database.location else "")
        self._table = table
        self._error_class, self._rights = error, rights
        self._connection: Any = None
        self._thread: int | None = None
        self._table_seen = False

    def write(self, work: Callable[[Any], T]) -> T:
        """
        Do *work* in one transaction, and commit it.

        It is repeated if other tasks were in the way, and once on a new connection if this one broke, also while
        committing: *work* must change nothing the second time if the first one arrived after all.
        """
        return self._with_retries("written", lambda: self._transaction(work, "BEGIN IMMEDIATE"))

    def read(self, work: Callable[[Any], T], *, streaming: bool = False) -> T:
        """Do *work* that only reads; with *streaming*, the cursor holds a block, and *work* reads it to its end."""
        return self._with_retries("read", lambda: self._transaction(work, "BEGIN", streaming))

    def select(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a statement that only reads."""

        def work(cursor: Any) -> list[tuple[Any, ...]]:
            cursor.execute(sql, parameters)
            return list(map(row_values, cursor.fetchall()))

        return self.read(work)

    def close(self) -> None:
        """Close the connection, which undoes what was not committed; the next call makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):  # it is given up; SQLite's also refuses any other thread
                connection.close()

    def _with_retries(self, doing: str, attempt: Callable[[], T]) -> T:
        give_up = time.monotonic() + CONFLICT_SECONDS
        broke = False
        while True:
            self._connect()
            done, failure = self._try(attempt)
            if failure is None:
                return done[0]
            if is_conflict(failure) and time.monotonic() < give_up:
                time.sleep(random.uniform(0.01, 0.2))  # noqa: S311 - only to part two tasks
            elif not is_conflict(failure) and not broke:
                broke = True
            else:
                raise self._error(doing, failure)

    def _try(self, attempt: Callable[[], T]) -> tuple[list[T], Exception | None]:
        # Returned, not raised: an OmnichatError raised while a driver's error is handled would take it along into logs,
        # and drivers put parameters into their texts.
        try:
            return [attempt()], None
        except OmnichatError:
            self.close()
            raise
        except Exception as error:  # whatever a driver raises; nothing may be sent after it
            failure = error
        except BaseException:  # a task's timeout: the next call must not commit what is half done
            self.close()
            raise
        self.close()
        return [], failure

    def _transaction(self, work: Callable[[Any], T], begin: str, streaming: bool = False) -> T:
        cursor = streaming_cursor(self._connection) if streaming else self._connection.cursor()
        with closing(cursor):
            if self._table.dialect == "sqlite":
                cursor.execute(begin)  # a read lock cannot become a write lock if two want it
            elif self._table.dialect == "duckdb":
                cursor.execute("BEGIN TRANSACTION")  # there, each cursor is a connection
            result = work(cursor)
            if self._table.dialect == "duckdb":
                cursor.execute("COMMIT")
                return result
        self._connection.commit()
        return result

    def _connect(self) -> None:
        if self._connection is not None and self._thread != threading.get_ident():
            self.close()  # SQLite's connections belong to one thread
        if self._connection is None:
            self._open()
        if not self._table_seen:
            self._find_or_make_table()

    def _open(self) -> None:
        def connect() -> None:
            self._connection = self._database.connect()
            self._thread = threading.get_ident()
            if self._table.dialect == "sqlite":
                self._connection.isolation_level = None  # transactions begin where this module begins them
                self._connection.execute(f"PRAGMA busy_timeout = {CONFLICT_SECONDS * 1000}")

        _, failure = self._try(connect)
        if failure is not None:
            raise self._error("reached", failure)
        if self._table.dialect == "sqlite":
            databases = self._connection.execute("PRAGMA database_list").fetchall()
            if not all(path for _, name, path in databases if name == "main"):
                self.close()
                raise self._error_class(
                    f"The SQLite database of the {self._name} names no file, so that all of it would be gone with this"
                    " process; nothing was sent. Give the connection the path of a file, on a disk that all workers"
                    " share"
                )

    def _find_or_make_table(self) -> None:
        # Reading first: a user without the right to create tables may use one that exists.
        unseen = self._attempt_on_table(self._probe, "BEGIN")
        if unseen is not None and is_conflict(unseen):  # the driver has waited already, and would again
            raise self._error("read", unseen)
        if unseen is not None:
            failure = self._attempt_on_table(lambda cursor: cursor.execute(self._table.create()), "BEGIN IMMEDIATE")
            # Another task may have created it at the same moment: then creating it failed, and it exists.
            missing = self._attempt_on_table(self._probe, "BEGIN")
            if missing is not None:
                self.close()
                if lacks_columns := self._table.missing_in(self._database):
                    raise self._error_class("The {} {}; nothing more is sent. {}".format(self._name, *lacks_columns))
                raise self._error("found or made", failure or missing)
        self._table_seen = True

    def _attempt_on_table(self, work: Callable[[Any], None], begin: str) -> Exception | None:
        if self._connection is None:
            self._open()
        return self._try(lambda: self._transaction(work, begin))[1]

    def _probe(self, cursor: Any) -> None:
        cursor.execute(self._table.probe())
        cursor.fetchall()

    def _error(self, doing: str, failure: Exception) -> StorageError:
        advice = self._advice(failure)
        return self._error_class(
            f"The {self._name} cannot be {doing} ({failure_name(failure)}); nothing more is sent."
            f" {advice or _UNREACHABLE}",
            is_outage=advice is None,
        )

    def _advice(self, error: Exception) -> str | None:
        """Return what to do about a failure that will not pass by itself; None for one that may."""
        if of_the_file := advice_on_sqlite(error):
            return of_the_file
        if lacks_rights(error):
            return f"The connection's user needs the rights to {self._rights}"
        if isinstance(error, UnicodeEncodeError):
            return "The connection's encoding lacks a character of a row: give the connection, or the database, UTF-8"
        if is_conflict(error):
            return f"Other transactions were in the way for {CONFLICT_SECONDS} seconds; see what holds its rows"
        if is_of_the_statement(error):
            return (
                "See that its schema is there, that its name is no reserved word of the database, and that it has the"
                " columns that the documentation shows"
            )
        return None


class TableUpgrade(SqlSession):
    """Adds to a table of an older version the columns that this one needs."""

    def __init__(self, database: SqlDatabase, table: WrittenTable) -> None:
        rights = "select from and alter it; in PostgreSQL, only its owner can alter it"
        super().__init__(database, table, StorageError, rights)
        self._table_seen = True  # it is taken as it is

    def statements(self) -> list[str]:
        """Return the statements that add what the table lacks; none if it has every column."""
        return [self._table.add(column) for column in self._missing()]

    def run(self) -> None:
        for column in self._missing():
            statement = self._table.add(column)
            try:
                self.write(lambda cursor, sql=statement: cursor.execute(sql))  # type: ignore[misc]
            except StorageError:
                if column in self._missing():  # otherwise another process has added it
                    raise

    def _missing(self) -> list[str]:
        missing = self.read(self._table.missing)
        if self._table.is_foreign(missing):
            lacks, advice = self._table.about_missing(missing, self._database.conn_id)
            raise StorageError(f"The table {self._table.name} {lacks}; nothing was changed. {advice}")
        return missing
