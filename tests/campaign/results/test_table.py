from __future__ import annotations

import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import ReasonCode
from airflow_provider_omnichat.campaign.model.rows import Result
from airflow_provider_omnichat.campaign.phone.identity import recipient_key
from airflow_provider_omnichat.campaign.results import table as result_table
from airflow_provider_omnichat.campaign.results.sink import ResultSink
from airflow_provider_omnichat.campaign.results.table import ResultDatabase, ResultTable, ResultTableError
from airflow_provider_omnichat.campaign.results.table_statements import COLUMNS, ResultDialect, ResultTableSql
from tests.support.reasons import why
from tests.support.sql_connections import Database

key_of = partial(recipient_key, "welcome")
DIALECTS: dict[str, ResultDialect] = {
    "sqlite3": "sqlite",
    "psycopg2": "postgresql",
    "psycopg": "postgresql",
    "pymysql": "mysql",
    "MySQLdb": "mysql",
    "duckdb": "duckdb",
}
BATCH = "dag/run/invite"


def made(position: int, outcome: Outcome = Outcome.ACCEPTED, to: str | None = None, **more: Any) -> Result:
    to = f"4179302{position:04d}" if to is None else to
    return Result(position, more.pop("key", f"c{position}"), to, outcome, "2026-07-30T12:00:00.250+00:00", **more)


def give(*results: Result) -> list[tuple[str | None, Result]]:
    return [(key_of(result.to) if result.to else None, result) for result in results]


@pytest.fixture
def table() -> str:
    return f"results_{uuid4().hex[:8]}"


Sink = Callable[..., ResultTable]


@pytest.fixture
def sink(database: Database, table: str) -> Iterator[Sink]:
    """Make the sink of a try; its connections are closed after the test."""
    yield from sinks(database, table)


def sinks(database: Database, table: str) -> Iterator[Sink]:
    opened: list[Any] = []

    def make(
        try_number: int = 1, batch: str = BATCH, wrapped: Callable[[Any], Any] = lambda connection: connection
    ) -> ResultTable:
        def connect() -> Any:
            opened.append(database.connect())
            return wrapped(opened[-1])

        known = ResultDatabase(connect, DIALECTS[database.driver], database.placeholder, "connection warehouse")
        return ResultTable(known, table, batch=batch, try_number=try_number, recipient_of=key_of)

    yield make
    for connection in opened:
        try:
            connection.close()
        except Exception:  # closed already
            continue


@pytest.fixture
def sqlite(tmp_path: Path) -> Database:
    return Database("sqlite3", {"database": str(tmp_path / "results.db"), "check_same_thread": False})


@pytest.fixture
def on_sqlite(sqlite: Database, table: str) -> Iterator[Sink]:
    yield from sinks(sqlite, table)


def rows(database: Database, table: str, batch: str = BATCH) -> list[tuple[int, str, str]]:
    found = database.run(
        f"SELECT list_row, recipient, outcome FROM {table} WHERE batch = ? ORDER BY list_row, outcome", batch
    )
    return [(int(place), to, outcome) for place, to, outcome in found]


def expected(*results: Result) -> list[tuple[int, str, str]]:
    return sorted((result.position, result.to, str(result.outcome)) for result in results)


FULL = made(
    3,
    Outcome.REJECTED,
    message_id="m-3",
    status_id=52,
    status_group=5,
    status_name="REJECTED_DESTINATION",
    message_count=2,
    attempts=1,
    reason=why('Invalid, "really"; it\'s 100% so', ReasonCode.HTTP_REJECTED),
)


def test_a_row_has_its_values_in_named_columns(sink, database, table):
    writing: ResultSink = sink(try_number=4)
    assert writing.earlier() == {}
    writing.write(give(FULL))
    writing.close()
    (row,) = database.run(f"SELECT {', '.join(COLUMNS)} FROM {table}")
    values = dict(zip(COLUMNS, row, strict=True))
    assert values.pop("try_id").startswith("4-")
    at = values.pop("ended_at")
    assert (at if isinstance(at, datetime) else datetime.fromisoformat(at)) == datetime.fromisoformat(
        "2026-07-30T12:00:00.250"
    )
    assert values == {
        "batch": BATCH,
        "list_row": 3,
        "row_key": "c3",
        "recipient": "41793020003",
        "outcome": "rejected",
        "message_id": "m-3",
        "status_group": 5,
        "status_id": 52,
        "status_name": "REJECTED_DESTINATION",
        "message_count": 2,
        "attempts": 1,
        "reason_code": "http_rejected",
        "error": 'Invalid, "really"; it\'s 100% so',
    }
    assert writing.location == f"table {table} of connection warehouse"


def test_many_rows_arrive_each_once(sink, database, table):
    results = [made(position, random.choice([Outcome.ACCEPTED, Outcome.INVALID])) for position in range(1, 1302)]
    writing = sink()
    writing.earlier()
    for start in range(0, len(results), 300):
        writing.write(give(*results[start : start + 300]))
    writing.close()
    assert rows(database, table) == expected(*results)


def test_what_no_column_takes_is_made_to_fit(sink, database, table):
    odd = made(
        1,
        Outcome.UNKNOWN,
        to="+41 (0)79 \x00x" + "9" * 100,
        key="k" * 2000 + "\ud800",
        message_id="m" * 400,
        status_id=2**40,
        reason=why("e" * 2000),
    )
    writing = sink(batch="b" * 400)
    writing.earlier()
    writing.write([(None, odd), (None, made(2, Outcome.INVALID, to="", key=None))])
    writing.close()
    found = database.run(f"SELECT batch, row_key, message_id, status_id, error FROM {table} ORDER BY list_row")
    assert [len(str(value)) for value in found[0]] == [250, 1000, 255, len("None"), 1000]
    assert found[1][1] is None
    assert sink(batch="b" * 400).earlier() == {}, "a long name means the same in the next try"


# tries


def test_a_later_try_knows_what_stands_and_replaces_the_rest(sink, database, table):
    first = sink()
    first.earlier()
    first.write(give(made(1), made(2, Outcome.REJECTED), made(3, Outcome.NOT_SENT), made(4, Outcome.UNKNOWN)))
    first.write([(None, made(5, Outcome.INVALID, to="")), (None, made(6, Outcome.DUPLICATE, to="41793020001"))])
    first.close()
    second = sink(2)
    known = second.earlier()
    assert dict(known) == {key_of("41793020001"): Outcome.ACCEPTED, key_of("41793020002"): Outcome.REJECTED}
    again = [
        made(3),
        made(4, Outcome.UNKNOWN),
        made(5, Outcome.INVALID, to=""),
        made(6, Outcome.DUPLICATE, to="41793020001"),
    ]
    second.write(give(*again))
    second.close()
    assert rows(database, table) == expected(made(1), made(2, Outcome.REJECTED), *again)


def test_a_try_that_was_not_whole_leaves_the_rest_of_earlier_ones(sink, database, table):
    first = sink()
    first.earlier()
    first.write(give(made(1, Outcome.NOT_SENT), made(2, Outcome.NOT_SENT)))
    first.close()
    second = sink(2)
    second.earlier()
    second.write(give(made(1)))
    second.close(whole=False)
    assert rows(database, table) == expected(made(1), made(2, Outcome.NOT_SENT))


def test_a_list_that_lost_rows_leaves_none_of_them(sink, database, table):
    first = sink()
    first.earlier()
    first.write(give(made(1), made(2, Outcome.NOT_SENT), made(3, Outcome.INVALID)))
    first.close()
    second = sink(2)
    second.earlier()
    second.write(give(made(2)))
    second.close()
    assert rows(database, table) == expected(made(1), made(2))


@pytest.mark.parametrize("stands_first", [True, False], ids=["a decided row's place", "an undecided row's place"])
def test_a_query_in_another_order_loses_nobody_on_the_way_and_ends_with_each_once(sink, database, table, stands_first):
    first = sink()
    first.earlier()
    ada, bob, cy = "41790000001", "41790000002", "41790000003"
    first.write(give(made(1, to=ada), made(2, Outcome.NOT_SENT, to=bob), made(3, Outcome.NOT_SENT, to=cy)))
    first.close()
    second = sink(2)
    assert list(second.earlier()) == [key_of(ada)]
    for place, to in ((1, cy), (2, bob)) if stands_first else ((2, cy), (1, bob)):
        second.write(give(made(place, to=to)))
        on_the_way = {to for _, to, _ in rows(database, table)}
        assert on_the_way == {ada, bob, cy}, "and in particular not the one whose place it was"
    second.close()
    assert Counter(to for _, to, _ in rows(database, table)) == {ada: 1, bob: 1, cy: 1}


def test_other_batches_are_left_alone(sink, database, table):
    for batch in (BATCH, "dag/run/other"):
        writing = sink(batch=batch)
        assert writing.earlier() == {}
        writing.write(give(made(1, Outcome.NOT_SENT), made(2)))
        writing.close()
    again = sink(2)
    again.earlier()
    again.write(give(made(1)))
    again.close()
    assert rows(database, table, "dag/run/other") == expected(made(1, Outcome.NOT_SENT), made(2))


def test_a_twin_that_runs_at_the_same_time_keeps_its_rows(on_sqlite, sqlite, table):
    first, twin = on_sqlite(), on_sqlite()
    first.earlier()
    twin.earlier()
    twin.write(give(made(2, Outcome.NOT_SENT)))
    first.write(give(made(1, Outcome.NOT_SENT)))
    first.close()
    assert (2, "41793020002", "not_sent") in rows(sqlite, table)
    twin.close()


@pytest.mark.parametrize("seed", range(12))
def test_killed_between_any_two_statements_each_row_is_there_once_in_the_end(
    seed, on_sqlite, sqlite, table, monkeypatch
):
    """Some tries, each killed at a random statement or ended; the last one ends. No row is lost at any moment."""
    chance = random.Random(seed)
    people = {position: f"41790000{position:03d}" for position in range(1, 60)}
    monkeypatch.setattr(result_table, "_DELETE_ROWS", 7)
    seen: set[int] = set()
    for number in range(1, 9):
        last = number == 8
        fuse = Fuse(None if last else chance.randrange(4, 40))
        writing = on_sqlite(number, wrapped=fuse.wrap)
        try:
            known = writing.earlier()
            left = [place for place in people if key_of(people[place]) not in known]
            while left:
                block, left = left[:9], left[9:]
                outcomes = [Outcome.ACCEPTED if last else chance.choice(list(Outcome)) for _ in block]
                writing.write(
                    give(*(made(place, outcome, people[place]) for place, outcome in zip(block, outcomes, strict=True)))
                )
            writing.close()
        except Killed:
            pass
        finally:
            fuse.close()
        found = rows(sqlite, table) if sqlite.run(f"SELECT 1 FROM sqlite_master WHERE name = '{table}'") else []
        places = Counter(place for place, _, _ in found)
        assert set(places) >= seen, "a row that was there is there"
        assert set(places.values()) <= {1}, "and once"
        seen = set(places)
    assert seen == set(people)


class Killed(BaseException):
    pass


class Fuse:
    """Ends a process at the n-th statement or commit, as SIGKILL does: what was not committed is gone."""

    def __init__(self, statements: int | None) -> None:
        self._left = statements
        self._connections: list[Any] = []

    def wrap(self, connection: sqlite3.Connection) -> Any:
        self._connections.append(connection)
        return _Fused(connection, self.burn)

    def burn(self) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                raise Killed

    def close(self) -> None:
        for connection in self._connections:
            connection.close()


class _Fused:
    def __init__(self, inner: Any, burn: Callable[[], None]) -> None:
        object.__setattr__(self, "_inner", inner)
        object.__setattr__(self, "_burn", burn)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name == "cursor":
            return lambda: _Fused(found(), self._burn)
        if name in ("execute", "executemany", "commit"):

            def call(*given: Any) -> Any:
                self._burn()
                return found(*given)

            return call
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._inner, name, value)


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
    known = ResultDatabase(database.connect, "sqlite", "?", "connection warehouse")
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
    told = (
        f"The results table {name} of connection warehouse cannot be found or made .*schema is there, .*reserved word"
        ".*has the columns"
    )
    with pytest.raises(ResultTableError, match=told):
        next(making)().earlier()
    making.close()  # type: ignore[attr-defined]


def test_an_edited_outcome_is_told_of(on_sqlite, sqlite, table):
    writing = on_sqlite()
    writing.earlier()
    writing.write(give(made(1)))
    writing.close()
    sqlite.run(f"UPDATE {table} SET outcome = 'great'")
    with pytest.raises(ResultTableError, match="an outcome that is none"):
        on_sqlite(2).earlier()


def test_sqlite_without_a_file_is_refused(table):
    known = ResultDatabase(lambda: sqlite3.connect(":memory:"), "sqlite", "?", "connection warehouse")
    writing = ResultTable(known, table, batch=BATCH, try_number=1, recipient_of=key_of)
    with pytest.raises(ResultTableError, match="names no file"):
        writing.earlier()


@pytest.mark.parametrize("name", ["results", "mart.results", "db.mart.results_2026"])
def test_names_of_tables(name):
    assert f"INTO {name} (" in ResultTableSql(name, "other", "%s").insert(1)


@pytest.mark.parametrize("name", ["", "a.b.c.d", "re sults", 'x"; --', "2026", "a..b", "x" * 64])
def test_what_is_no_name_of_a_table_is_refused(name):
    with pytest.raises(ValueError, match="results_table must be"):
        ResultTableSql(name, "other", "%s")


def test_the_page_shows_the_table_as_it_is_made():
    page = (Path(__file__).parents[3] / "docs/sql.md").read_text()
    assert f"```sql\n{ResultTableSql('invited', 'postgresql', '%s').create()};\n```" in page


# blocks


class Slow:
    """A database that takes its time for each commit."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.commits = 0

    def wrap(self, connection: Any) -> Any:
        return _Slowed(connection, self)


class _Slowed(_Breaking):
    def commit(self) -> None:
        slow: Slow = self._breaks
        time.sleep(slow.seconds)
        slow.commits += 1
        self._inner.commit()


def test_a_slow_database_gets_blocks_and_costs_a_tenth_of_the_time(on_sqlite, sqlite, table):
    slow = Slow(0.1)
    writing = on_sqlite(wrapped=slow.wrap)
    writing.earlier()
    before, began, position = slow.commits, time.monotonic(), 0
    while time.monotonic() - began < 2.5:
        position += 1
        writing.write(give(made(position)))
        time.sleep(0.005)
    assert 2 <= slow.commits - before <= 4
    writing.close()
    assert len(rows(sqlite, table)) == position


def test_a_quick_database_gets_rows_at_once(on_sqlite, sqlite, table):
    writing = on_sqlite()
    writing.earlier()
    writing.write(give(made(1)))
    assert len(rows(sqlite, table)) == 1


def test_no_more_than_a_bound_is_held(on_sqlite, sqlite, table, monkeypatch):
    monkeypatch.setattr(result_table, "_MOST_WAITING", 50)
    slow = Slow(0.2)
    writing = on_sqlite(wrapped=slow.wrap)
    writing.earlier()
    for position in range(1, 200):
        writing.write(give(made(position)))
        assert len(writing._waiting) < 50
