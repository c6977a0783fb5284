"""The rows of a results table, a page at a time, in real databases and by a driver that knows no LIMIT."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.api.outcomes import Delivery, Outcome
from airflow_provider_omnichat.api.reasons import ReasonCode
from airflow_provider_omnichat.campaign.model.delivery import FinalStatus
from airflow_provider_omnichat.campaign.model.pages import Order, PageError, PageQuery
from airflow_provider_omnichat.campaign.model.rows import Result
from airflow_provider_omnichat.campaign.results.table import ResultSchema, ResultTable
from airflow_provider_omnichat.campaign.sql.session import SqlDatabase
from tests.support.reasons import why
from tests.support.result_rows import give, made
from tests.support.result_tables import BATCH, DIALECTS, Sink
from tests.support.row_pages import paged, positions
from tests.support.sql_connections import Database, connected

KEYS = [
    "100%",
    "under_score",
    "wow!",
    "back\\slash",
    "it's",
    '"quoted"',
    "<b>",
    "ÄPFEL",
    "apfel",
    "'; DROP TABLE x; --",
]


@pytest.fixture(params=["sqlite3", "psycopg2", "psycopg", "pymysql", "duckdb"])
def database(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    return connected(request.param, request, tmp_path, monkeypatch)


def rows(count: int) -> list[Result]:
    kinds: list[dict[str, Any]] = [
        {"outcome": Outcome.ACCEPTED},
        {"outcome": Outcome.REJECTED, "reason": why("no", ReasonCode.HTTP_REJECTED), "status_name": "REJECTED_DND"},
        {"outcome": Outcome.UNKNOWN, "reason": why("no answer")},
    ]
    return [made(at, **kinds[at % len(kinds)]) for at in range(1, count + 1)]


def wrote(sink: Sink, results: list[Result], batch: str = BATCH) -> None:
    writing = sink(batch=batch)
    writing.earlier()
    writing.write(give(*results))
    writing.close()


def pages_of(database: Database, table: str, batch: str = BATCH, connect: Any = None) -> ResultTable:
    dialect = DIALECTS[database.driver]
    known = SqlDatabase(connect or database.connect, dialect, database.placeholder, "warehouse")
    return ResultTable(known, table, batch=batch)


@pytest.mark.parametrize("size", [1, 7, 50])
def test_each_row_of_the_batch_comes_once_and_as_it_was_written(database, sink, table, size):
    shuffled = rows(60)
    random.Random(1).shuffle(shuffled)
    wrote(sink, shuffled)
    wrote(sink, [made(99)], batch="dag/run/other")
    found = paged(pages_of(database, table), size=size)
    assert positions(found) == list(range(1, 61))
    for shown, row in zip(found, rows(60), strict=True):
        assert (shown.key, shown.number, shown.outcome) == (row.key, row.to, row.outcome.value)
        assert (shown.reason, shown.status) == (row.error, row.status_name)
        assert shown.at is not None
        assert shown.at.isoformat() == "2026-07-30T12:00:00.250000+00:00"


def test_what_became_of_an_invite_stands_beside_it(database, sink, table):
    wrote(sink, [made(at, outcome=Outcome.ACCEPTED, message_id=f"m-{at}") for at in (1, 2)])
    known = SqlDatabase(database.connect, DIALECTS[database.driver], database.placeholder, "warehouse")
    place = ResultTable(known, table, batch=BATCH)
    first = next(iter(place.deliveries().unfinished()))
    place.deliveries().record([FinalStatus(first, Delivery.EXPIRED, 15, "EXPIRED_EXPIRED", None, None, None)])
    place.close()
    found = {row.position: row.delivery for row in paged(pages_of(database, table))}
    assert found == {1: None, 2: None} | {first.row: "expired"}


def test_rows_are_filtered(database, sink, table):
    wrote(sink, rows(60))
    pages = pages_of(database, table)
    assert len(paged(pages, outcome="rejected", size=7)) == 20
    assert {row.outcome for row in paged(pages, reason_code="read_timeout", size=7)} == {"unknown"}
    assert len(paged(pages, status="REJECTED_DND")) == 20
    assert positions(paged(pages, outcome="rejected", search="C4")) == [4, 40, 43, 46, 49]
    assert paged(pages, outcome="accepted", status="REJECTED_DND") == paged(pages, outcome="no such") == []


@pytest.mark.parametrize("is_descending", [False, True])
@pytest.mark.parametrize(
    ("order", "column"), [("list", "position"), ("key", "key"), ("outcome", "outcome"), ("time", "at")]
)
def test_rows_are_sorted(
    database: Database, sink: Sink, table: str, order: Order, column: str, is_descending: bool
) -> None:
    wrote(sink, [row._replace(at=f"2026-07-30T12:00:{row.position % 50:02d}+00:00") for row in rows(60)])
    found = paged(pages_of(database, table), order=order, is_descending=is_descending, size=7)
    values = [getattr(row, column) for row in found]
    assert values == sorted(values, reverse=is_descending)
    assert sorted(positions(found)) == list(range(1, 61))


def test_what_is_searched_is_a_text_and_no_pattern(database, sink, table):
    wrote(sink, [made(at, key=key) for at, key in enumerate(KEYS, 1)])
    pages = pages_of(database, table)
    for at, key in enumerate(KEYS, 1):
        assert positions(paged(pages, search=key)) == [at], key
    assert positions(paged(pages, search="%")) == [1]
    assert positions(paged(pages, search="_")) == [2]
    assert positions(paged(pages, search="!")) == [3]
    assert positions(paged(pages, search="\\")) == [4]
    assert positions(paged(pages, search="APF")) == [9]


@pytest.mark.parametrize("after", ["", "-5", "1.5", "../../etc/passwd:0", "0; DROP TABLE x", " 1"])
def test_a_place_that_no_page_gave_is_the_beginning(on_sqlite, sqlite, table, after):
    wrote(on_sqlite, rows(3))
    assert positions(paged(pages_of(sqlite, table), after=after)) == [1, 2, 3]


@pytest.mark.parametrize("after", ["3", str(2**31), pytest.param(str(10**250), id="10**250")])
def test_far_behind_the_end_is_nothing(database, sink, table, after):
    wrote(sink, rows(3))
    assert pages_of(database, table).page(PageQuery(after=after)) == ([], None, None)


class Unlimited:
    """A cursor that tells how many rows it was asked for at once."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        self.most = 0

    def execute(self, sql: str, parameters: Any) -> None:
        assert "LIMIT" not in sql
        self._cursor.execute(sql, parameters)

    def fetchmany(self, size: int) -> Any:
        self.most = max(self.most, size)
        return self._cursor.fetchmany(size)

    def close(self) -> None:
        self._cursor.close()


class TestDatabaseWithoutLimit:
    @pytest.fixture
    def cursors(self) -> list[Unlimited]:
        return []

    @pytest.fixture
    def pages(self, sqlite: Database, table: str, cursors: list[Unlimited]) -> ResultTable:
        class Connection:
            def __init__(self) -> None:
                self._connection = sqlite.connect()

            def cursor(self) -> Unlimited:
                cursors.append(Unlimited(self._connection.cursor()))
                return cursors[-1]

            def close(self) -> None:
                self._connection.close()

        return ResultTable(SqlDatabase(Connection, "other", "?", "warehouse"), table, batch=BATCH)

    @pytest.mark.parametrize("size", [1, 7, 50])
    def test_pages_are_the_same(self, on_sqlite: Sink, pages: ResultTable, size: int) -> None:
        wrote(on_sqlite, rows(60))
        assert positions(paged(pages, size=size)) == list(range(1, 61))
        assert pages.page(PageQuery(after=str(10**250))) == ([], None, None)

    def test_rows_that_are_passed_over_are_not_held_together(
        self, on_sqlite: Sink, pages: ResultTable, cursors: list[Unlimited]
    ) -> None:
        wrote(on_sqlite, rows(2500))
        assert positions(pages.page(PageQuery(after="2400", size=7)).rows) == list(range(2401, 2408))
        assert cursors[-1].most <= 1000


class TestErrors:
    def test_a_missing_table_says_what_to_see_to_and_shows_no_parameter(self, database: Database, table: str) -> None:
        with pytest.raises(
            PageError, match=f"The results table {table} of connection warehouse cannot be read"
        ) as error:
            pages_of(database, table).page(PageQuery(search="41793020001"))
        assert "41793020001" not in str(error.value)
        assert error.value.__cause__ is error.value.__context__ is None

    def test_connections_are_closed(self, on_sqlite: Sink, sqlite: Database, table: str) -> None:
        opened: list[int] = []
        closed: list[int] = []

        class Connection:
            def __init__(self) -> None:
                opened.append(1)
                self._connection = sqlite.connect()

            def cursor(self) -> Any:
                return self._connection.cursor()

            def close(self) -> None:
                closed.append(1)
                self._connection.close()

        pages = pages_of(sqlite, table, connect=Connection)
        with pytest.raises(PageError):
            pages.page(PageQuery())
        wrote(on_sqlite, rows(1))
        assert len(pages.page(PageQuery()).rows) == 1
        assert opened == closed != []


def test_rows_of_a_batch_that_differs_by_capitals_alone_are_not_its_own(sqlite, on_sqlite, table):
    created = ResultSchema(table, "sqlite", "?").create()
    sqlite.run(created.replace("batch VARCHAR(250)", "batch VARCHAR(250) COLLATE NOCASE"))
    wrote(on_sqlite, rows(3), "Report/run/invite")
    assert not on_sqlite(batch="report/run/invite").earlier()
    assert len(on_sqlite(batch="Report/run/invite").earlier()) == 2
    known = SqlDatabase(sqlite.connect, "sqlite", "?", "warehouse")
    found = {
        batch: ResultTable(known, table, batch=f"{batch}/run/invite").page(PageQuery()).rows
        for batch in ("Report", "report")
    }
    assert [len(each) for each in found.values()] == [3, 0]
