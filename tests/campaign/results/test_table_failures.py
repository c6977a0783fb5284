"""A database that breaks, refuses or is slow while it takes results."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.results import table as result_table
from airflow_provider_omnichat.campaign.results.table import ResultTable, ResultTableError
from airflow_provider_omnichat.campaign.sql.session import SqlDatabase
from tests.support.clocks import SetClock
from tests.support.result_rows import give, key_of, made
from tests.support.result_tables import BATCH, expected, rows, sinks
from tests.support.sql_connections import Database

# failures


class Breaks:
    """A connection whose commits fail when told to, before or after they arrive."""

    def __init__(self) -> None:
        self.at: str | None = None

    def wrap(self, connection: Any) -> Any:
        return _Breaking(connection, self)


class _Breaking:
    def __init__(self, inner: Any, breaks: Any) -> None:
        object.__setattr__(self, "_inner", inner)
        object.__setattr__(self, "_breaks", breaks)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._inner, name, value)

    def commit(self) -> None:
        at = self._breaks.at
        if at in ("before", "once before"):
            if at == "once before":
                self._breaks.at = None
            raise ConnectionError("41793020001 is gone")
        self._inner.commit()
        if at in ("after", "once after"):
            if at == "once after":
                self._breaks.at = None
            raise ConnectionError("41793020001 is gone")


@pytest.mark.parametrize("at", ["once before", "once after"])
def test_a_connection_that_breaks_while_committing_leaves_each_row_once(on_sqlite, sqlite, table, at):
    breaks = Breaks()
    writing = on_sqlite(wrapped=breaks.wrap)
    writing.earlier()
    breaks.at = at
    writing.write(give(made(1), made(2, Outcome.INVALID)))
    writing.close()
    assert rows(sqlite, table) == expected(made(1), made(2, Outcome.INVALID))


@pytest.mark.parametrize("at", ["before", "after"])
def test_what_could_not_be_written_goes_out_later_and_once(on_sqlite, sqlite, table, at):
    breaks = Breaks()
    writing = on_sqlite(wrapped=breaks.wrap)
    writing.earlier()
    breaks.at = at
    with pytest.raises(
        ResultTableError,
        match=rf"The results table {table} of connection warehouse cannot be written \(ConnectionError\)",
    ) as e:
        writing.write(give(made(1)))
    assert isinstance(e.value, OmnichatError)
    assert "4179302" not in str(e.value)
    assert e.value.__context__ is e.value.__cause__ is None
    breaks.at = None
    writing._took = 0.0  # as if a long time had passed
    writing.write(give(made(2)))
    writing.close()
    assert rows(sqlite, table) == expected(made(1), made(2))


def test_a_table_that_must_not_be_written_is_told_of_before_anything_is_sent(tmp_path, table):
    path = tmp_path / "results.db"
    Database("sqlite3", {"database": str(path)}).run("CREATE TABLE x (i INTEGER)")
    database = Database("sqlite3", {"database": f"file:{path}?mode=ro", "uri": True})
    known = SqlDatabase(database.connect, "sqlite", "?", "warehouse")
    writing = ResultTable(known, table, batch=BATCH, try_number=1, recipient_of=key_of)
    with pytest.raises(ResultTableError, match="The SQLite file may only be read"):
        writing.earlier()


def test_rights_are_looked_at_before_anything_is_sent(request, tmp_path, monkeypatch, table):
    from tests.support.sql_connections import connected

    owner = connected("psycopg2", request, tmp_path, monkeypatch)
    next(iter(sinks(owner, table)))().earlier()
    owner.run("DROP ROLE IF EXISTS reader")
    owner.run("CREATE ROLE reader LOGIN")
    owner.run(f"GRANT SELECT ON {table} TO reader")
    try:
        reader = Database("psycopg2", {**owner.options, "user": "reader"})
        making = sinks(reader, table)
        with pytest.raises(
            ResultTableError, match=r"cannot be written \(InsufficientPrivilege 42501\).*needs the rights"
        ):
            next(making)().earlier()
        making.close()  # type: ignore[attr-defined]
    finally:
        owner.run(f"REVOKE ALL ON {table} FROM reader")


@pytest.mark.parametrize("name", ["of_another_kind", "no_such_schema.invited", "order", "a.b.c"])
def test_a_name_that_cannot_be_taken_is_told_of(database, name):
    database.run("DROP TABLE IF EXISTS of_another_kind")
    database.run("CREATE TABLE of_another_kind (something VARCHAR(10))")
    making = sinks(database, name)
    told = f"The results table {name} of connection warehouse " + (
        "lacks the columns batch, .*It is not a results table"
        if name == "of_another_kind"
        else "cannot be found or made .*schema is there, .*reserved word.*has the columns"
    )
    with pytest.raises(ResultTableError, match=told):
        next(making)().earlier()
    making.close()  # type: ignore[attr-defined]


def test_an_edited_outcome_is_an_error(on_sqlite, sqlite, table):
    writing = on_sqlite()
    writing.earlier()
    writing.write(give(made(1)))
    writing.close()
    sqlite.run(f"UPDATE {table} SET outcome = 'great'")
    with pytest.raises(ResultTableError, match="an unknown outcome"):
        on_sqlite(2).earlier()


def test_sqlite_without_a_file_is_refused(table):
    known = SqlDatabase(lambda: sqlite3.connect(":memory:"), "sqlite", "?", "warehouse")
    writing = ResultTable(known, table, batch=BATCH, try_number=1, recipient_of=key_of)
    with pytest.raises(ResultTableError, match="names no file"):
        writing.earlier()


# blocks


class Slow:
    """A database that takes its time for each commit, by the clock of the test."""

    def __init__(self, seconds: float, clock: SetClock) -> None:
        self.seconds = seconds
        self.clock = clock
        self.commits = 0

    def wrap(self, connection: Any) -> Any:
        return _Slowed(connection, self)


class _Slowed(_Breaking):
    def commit(self) -> None:
        slow: Slow = self._breaks
        slow.clock.sleep(slow.seconds)
        slow.commits += 1
        self._inner.commit()


@pytest.fixture
def clock(monkeypatch):
    made_for_test = SetClock()
    monkeypatch.setattr(result_table, "monotonic", made_for_test.monotonic)
    return made_for_test


def test_a_slow_database_gets_blocks_and_costs_a_tenth_of_the_time(on_sqlite, sqlite, table, clock):
    slow = Slow(0.1, clock)
    writing = on_sqlite(wrapped=slow.wrap)
    writing.earlier()
    before, began, position = slow.commits, clock.now, 0
    while clock.now - began < 2.5:
        position += 1
        writing.write(give(made(position)))
        clock.sleep(0.005)
    assert slow.commits - before == 3
    writing.close()
    assert len(rows(sqlite, table)) == position


def test_a_quick_database_gets_rows_at_once(on_sqlite, sqlite, table, clock):
    writing = on_sqlite()
    writing.earlier()
    writing.write(give(made(1)))
    assert len(rows(sqlite, table)) == 1


def test_no_more_than_a_bound_is_held(on_sqlite, sqlite, table, monkeypatch, clock):
    monkeypatch.setattr(result_table, "_MOST_WAITING", 50)
    slow = Slow(0.2, clock)
    writing = on_sqlite(wrapped=slow.wrap)
    writing.earlier()
    for position in range(1, 200):
        writing.write(give(made(position)))
        assert len(writing._waiting) < 50
