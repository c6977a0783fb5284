from __future__ import annotations

import gc
import itertools
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.campaign.checks.opt_outs import Suppression, SuppressionError
from airflow_provider_omnichat.campaign.model.field_values import RoundedFloat
from airflow_provider_omnichat.campaign.model.rows import Candidate, Result, Row
from airflow_provider_omnichat.campaign.rows.spool import Spool
from airflow_provider_omnichat.hooks.sql_rows import SqlQueryError, SqlQueryMistakeError, rows_of_query
from tests.support.patience import wait_until
from tests.support.row_checks import check, gate
from tests.support.sql_connections import CONN_ID, DRIVERS, MYSQL, Database, connected

PEOPLE = [("c-1", "+41 79 302 67 27", "Ada"), ("c-2", "+41 79 302 67 28", None), ("c-3", None, "Cy")]


@pytest.fixture
def people(database: Database) -> Database:
    database.fill("people", "id mobile first_name", PEOPLE)
    return database


@pytest.fixture
def sqlite(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    made = connected("sqlite3", request, tmp_path, monkeypatch)
    made.fill("people", "id mobile first_name", PEOPLE)
    return made


@pytest.fixture(params=["psycopg2", "psycopg"])
def postgresql(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    return connected(request.param, request, tmp_path, monkeypatch)


def many(database: Database, count: int) -> str:
    """A query that gives so many rows without a table."""
    if database.driver == "sqlite3":
        return (
            f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
            " SELECT i, 'P' || i AS name FROM n"
        )
    if database.driver in MYSQL:
        return f"SELECT seq AS i, CONCAT('P', seq) AS name FROM seq_1_to_{count}"
    if database.driver == "duckdb":
        return f"SELECT i, 'P' || i AS name FROM range(1, {count + 1}) r(i)"
    return f"SELECT i, 'P' || i AS name FROM generate_series(1, {count}) i"


def test_rows_come_by_column_name_with_their_nulls(people):
    rows = list(rows_of_query(CONN_ID, "SELECT id, mobile, first_name AS name FROM people ORDER BY id"))
    assert rows == [dict(zip(("id", "mobile", "name"), row, strict=True)) for row in PEOPLE]


def test_parameters_go_to_the_driver(people):
    query = f"SELECT id FROM people WHERE id = {people.placeholder} OR first_name = {people.placeholder} ORDER BY id"
    assert list(rows_of_query(CONN_ID, query, ["c-2", "Cy"])) == [{"id": "c-2"}, {"id": "c-3"}]


def test_without_parameters_a_percent_sign_is_one(people):
    assert list(rows_of_query(CONN_ID, "SELECT id FROM people WHERE first_name LIKE 'A%'")) == [{"id": "c-1"}]


def test_a_semicolon_and_comments_are_no_second_statement(people):
    query = "-- who; and when\nSELECT ';' AS semicolon FROM people WHERE id = 'c-1' ; -- that is all\n"
    assert list(rows_of_query(CONN_ID, query)) == [{"semicolon": ";"}]


@pytest.mark.parametrize("count", [0, 1, 1999, 2000, 2001, 4000, 9999])
def test_no_row_is_lost_between_blocks(database, count):
    rows = list(rows_of_query(CONN_ID, f"SELECT * FROM ({many(database, count or 1)}) q WHERE i <= {count}"))
    assert sorted(int(row["i"]) for row in rows) == list(range(1, count + 1))


def test_columns_are_told_of_once_also_without_rows(people):
    told: list[Any] = []
    assert list(rows_of_query(CONN_ID, "SELECT id, mobile FROM people WHERE 1 = 0", columns=told.append)) == []
    assert told == [("id", "mobile")]


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="asks Linux for the peak of memory")
def test_the_worker_never_holds_more_than_a_block(database):
    count = 200_000
    # What is loaded once; DuckDB takes more for the first large query, and keeps it.
    loading = rows_of_query(CONN_ID, many(database, count if database.driver == "duckdb" else 10))
    assert all(loading)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak anew
    before = memory("VmRSS")
    assert sum(1 for _ in rows_of_query(CONN_ID, many(database, count))) == count
    assert memory("VmHWM") - before < 6_000, "KiB; all rows are some 30,000"


def memory(field: str) -> int:
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field)]
    return int(line.split()[1])


def connections(database: Database) -> int:
    if database.driver in MYSQL:
        return len(database.run("SHOW PROCESSLIST")) - 1
    ((count,),) = database.run(
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    return int(count)


@pytest.mark.timeout(method="thread")  # drivers in C wait for the rest of a result, and for no signal
@pytest.mark.parametrize("driver", ["psycopg2", "psycopg", "pymysql", "MySQLdb"])
def test_the_connection_is_closed_at_the_end_and_when_it_is_given_up(driver, request, tmp_path, monkeypatch):
    database = connected(driver, request, tmp_path, monkeypatch)

    def wait_for_its_end() -> None:
        wait_until(lambda: not connections(database), "the connection is closed")

    list(rows_of_query(CONN_ID, many(database, 10)))
    wait_for_its_end()
    # Who reads the rest is put to sleep by the database for a day.
    sleeps = "SLEEP(86400)" if driver in MYSQL else "pg_sleep(86400) IS NULL"
    rows = rows_of_query(CONN_ID, f"SELECT * FROM ({many(database, 200_000)}) q WHERE i < 100000 OR {sleeps}")
    next(rows)
    assert connections(database) == 1
    rows.close()  # type: ignore[attr-defined]
    wait_for_its_end()
    with pytest.raises(SqlQueryError):
        list(rows_of_query(CONN_ID, "SELECT * FROM not_there"))
    wait_for_its_end()


def test_rows_as_dicts_or_named_tuples_of_the_connection_are_the_same(postgresql, monkeypatch):
    plain = json.loads(os.environ["AIRFLOW_CONN_WAREHOUSE"])
    kinds = ["dictcursor", "namedtuplecursor"] + (["realdictcursor"] if postgresql.driver == "psycopg2" else [])
    for kind in kinds:
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({**plain, "extra": {"cursor": kind}}))
        assert list(rows_of_query(CONN_ID, "SELECT 1 AS b, 2 AS a")) == [{"b": 1, "a": 2}]


def test_a_connection_with_autocommit_streams_all_the_same(request, tmp_path, monkeypatch):
    connected("psycopg", request, tmp_path, monkeypatch)
    made = {**json.loads(os.environ["AIRFLOW_CONN_WAREHOUSE"]), "extra": {"autocommit": True}}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(made))
    assert list(rows_of_query(CONN_ID, "SELECT 1 AS a")) == [{"a": 1}]


# what drivers make of values

# as a 32-bit float (SQLite has none), then as what has all digits
POSTGRESQL = ["{}::real", "{}::float8", "{}::numeric", "{}::bigint"]
MARIADB = [f"CAST({{}} AS {kind})" for kind in ("FLOAT", "DOUBLE", "DECIMAL(20)", "INTEGER")]
NUMBER_TYPES = {
    "sqlite3": ["NULL", "CAST({} AS REAL)", "CAST({} AS NUMERIC)", "{}"],
    "psycopg2": POSTGRESQL,
    "psycopg": POSTGRESQL,
    "pymysql": MARIADB,
    "MySQLdb": MARIADB,
    "duckdb": ["{}::REAL", "{}::DOUBLE", "{}::DECIMAL(20, 2)", "{}::BIGINT"],
}
KEYS = {
    "sqlite3": "'C-17   ', x'00ff', x'432d3138'",
    "psycopg2": "'C-17'::char(8), '\\x00ff'::bytea, 'C-18'::bytea",
    "psycopg": "'C-17'::char(8), '\\x00ff'::bytea, 'C-18'::bytea",
    "pymysql": "'C-17   ', x'00ff', CAST('C-18' AS BINARY)",
    "MySQLdb": "'C-17   ', x'00ff', CAST('C-18' AS BINARY)",
    "duckdb": "'C-17   ', '\\x00\\xff'::BLOB, 'C-18'::BLOB",
}


@pytest.mark.parametrize(("number", "region"), [("41793026727", None), ("793026727", "CH"), ("6112345", "IS")])
def test_a_column_of_32_bits_has_lost_digits_and_any_other_has_all_of_them(database, number, region):
    made = ", ".join(f"{kind.format(number)} AS c{place}" for place, kind in enumerate(NUMBER_TYPES[database.driver]))
    (row,) = rows_of_query(CONN_ID, f"SELECT {made}")
    marked = [isinstance(value, RoundedFloat) for value in row.values()]
    assert marked == [database.driver != "sqlite3", False, False, False]
    rounded, *others = (check([{"to": value}], default_region=region)[0] for value in row.values())
    assert isinstance(rounded, Result)
    assert rounded.reason is not None
    assert rounded.reason.code == ("no_number" if database.driver == "sqlite3" else "number_lost_digits")
    assert [one.invite.to.endswith(number) for one in others if isinstance(one, Candidate)] == [True] * 3
    with pytest.raises(SuppressionError, match=r"32-bit floats|not one of 1 entries"):
        Suppression([row["c0"]], region)


# SQLite's driver names no types.
@pytest.mark.parametrize("database", [driver for driver in DRIVERS if driver != "sqlite3"], indirect=True)
@pytest.mark.parametrize("number", ["41793000000", "40265318400", "68719476736"])
def test_a_column_of_64_bits_is_taken_at_its_word_also_where_a_number_looks_rounded(database, number):
    kind = NUMBER_TYPES[database.driver][1].format(number)
    (row,) = rows_of_query(CONN_ID, f"SELECT {kind} AS mobile")
    assert (row["mobile"], type(row["mobile"])) == (int(number), int)


def test_a_key_of_padded_text_or_of_bytes_is_one_text(database):
    found: list[Candidate | Result] = []
    for place, key in enumerate(KEYS[database.driver].split(", ")):
        query = f"SELECT {key} AS id, '+4179302672{place}' AS mobile"
        with Spool(Row(1, fields) for fields in rows_of_query(CONN_ID, query)) as spool:
            found += gate(key_column="id", to_column="mobile").checked(spool)
    assert [one.key for one in found] == ["C-17", "00ff", "C-18"]


# what is no list


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ("id, first_name AS id", r"Columns 1 and 2 .* both named 'id'"),
        ("id, mobile, first_name AS mobile", r"Columns 2 and 3 .* both named 'mobile'"),
    ],
)
def test_two_columns_of_one_name_are_refused(people, columns, problem):
    with pytest.raises(SqlQueryMistakeError, match=problem):
        list(rows_of_query(CONN_ID, f"SELECT {columns} FROM people"))


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg", "sqlite3"])
def test_a_column_without_a_name_is_refused(driver, request, tmp_path, monkeypatch):
    connected(driver, request, tmp_path, monkeypatch)
    with pytest.raises(SqlQueryMistakeError, match=r"Column 2 .* has no name; .* with AS"):
        list(rows_of_query(CONN_ID, 'SELECT 1 AS a, 2 AS " "'))


@pytest.mark.parametrize("sql", ["SELECT id FROM people; SELECT mobile FROM people", "DELETE FROM people; SELECT 1"])
def test_two_statements_are_refused_before_anything_is_run(people, sql):
    with pytest.raises(SqlQueryMistakeError, match="must be one query, and has 2 statements"):
        rows_of_query(CONN_ID, sql)
    assert people.run("SELECT count(*) FROM people") == [(3,)]


@pytest.mark.parametrize("sql", ["", " \n", "-- nothing", ";"])
def test_no_statement_is_refused(sqlite, sql):
    with pytest.raises(SqlQueryMistakeError, match="has no statements"):
        rows_of_query(CONN_ID, sql)


def test_a_list_of_statements_is_refused(sqlite):
    with pytest.raises(SqlQueryMistakeError, match="is a list"):
        rows_of_query(CONN_ID, ["SELECT 1"])  # type: ignore[arg-type]


# DuckDB gives the count of an UPDATE as a row.
@pytest.mark.parametrize("database", [driver for driver in DRIVERS if driver != "duckdb"], indirect=True)
def test_a_statement_that_gives_no_rows_is_refused_and_not_committed(people):
    with pytest.raises(SqlQueryError):
        list(rows_of_query(CONN_ID, "UPDATE people SET first_name = 'x'"))
    assert people.run("SELECT count(*) FROM people WHERE first_name = 'x'") == [(0,)]


# failures


def test_what_the_database_says_is_told_by_class_and_code_and_never_by_text(people):
    with pytest.raises(SqlQueryError) as caught:
        list(rows_of_query(CONN_ID, "SELECT * FROM people WHERE secret = '41793026727'"))
    text = str(caught.value)
    codes = {
        "sqlite3": "OperationalError SQLITE_ERROR",
        "psycopg2": "UndefinedColumn 42703",
        "psycopg": "UndefinedColumn 42703",
        "pymysql": "OperationalError 1054 42S22",
        "MySQLdb": "OperationalError 1054",
        "duckdb": "BinderException",
    }
    assert f"Connection 'warehouse' cannot be queried ({codes[people.driver]}); nothing was sent" in text
    assert "secret" not in text
    assert "41793026727" not in text
    assert caught.value.__context__ is caught.value.__cause__ is None, "a traceback would show it"
    assert not isinstance(caught.value, ValueError), "a table may be there a minute later"


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg", "pymysql", "MySQLdb"])
def test_bad_syntax_is_a_mistake_that_no_retry_mends(driver, request, tmp_path, monkeypatch):
    connected(driver, request, tmp_path, monkeypatch)
    with pytest.raises(SqlQueryMistakeError, match="Run the query by hand"):
        list(rows_of_query(CONN_ID, "SELEC 1"))


UNFIT = ["SELECT 1 AS a -- 100% \n WHERE 'a' = {}", "SELECT {} AS a, {} AS b", "SELECT %(name)s AS a", "SELECT 1 AS a"]


@pytest.mark.parametrize(
    ("driver", "sql"),
    [
        (driver, sql)
        for driver in ("sqlite3", "psycopg2", "psycopg", "pymysql", "MySQLdb")
        for sql in UNFIT
        # SQLite takes % for a percent sign, and psycopg2 does not mind values for which there is no place.
        if (driver, sql) != ("psycopg2", "SELECT 1 AS a") and not (driver == "sqlite3" and "%" in sql)
    ],
)
def test_parameters_that_do_not_fit_are_a_mistake_that_no_retry_mends(driver, sql, request, tmp_path, monkeypatch):
    database = connected(driver, request, tmp_path, monkeypatch)
    with pytest.raises(SqlQueryMistakeError, match="See that sql and parameters fit together"):
        list(rows_of_query(CONN_ID, sql.format(*[database.placeholder] * 2), ["41793026727"]))


def test_an_error_in_the_middle_of_the_result_is_no_short_list(postgresql):
    rows = rows_of_query(CONN_ID, "SELECT 1 / (5000 - i) AS x FROM generate_series(1, 9000) i")
    assert sum(1 for _ in itertools.islice(rows, 4000)) == 4000
    with pytest.raises(SqlQueryError, match="cannot be read from"):
        list(rows)


def test_a_server_that_goes_away_is_an_error(postgresql):
    rows = rows_of_query(CONN_ID, many(postgresql, 100_000))
    next(rows)
    postgresql.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    with pytest.raises(SqlQueryError, match=r"cannot be read from .*See that the database is up"):
        list(rows)


def test_a_database_that_cannot_be_reached_is_named(monkeypatch):
    pytest.importorskip("airflow.providers.postgres.hooks.postgres")
    made = {"conn_type": "postgres", "host": "/nowhere", "login": "owner", "password": "pass-word-1", "schema": "x"}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(made))
    with pytest.raises(SqlQueryError, match=r"Connection 'warehouse' cannot be reached \(OperationalError.*retry") as e:
        list(rows_of_query(CONN_ID, "SELECT 1 AS a"))
    assert "pass-word-1" not in str(e.value)


@pytest.mark.parametrize("fields", [{"conn_type": "omnichat"}, {"conn_type": "no_such_type"}])
def test_a_connection_to_something_else_is_refused(monkeypatch, fields):
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(fields))
    with pytest.raises(SqlQueryError, match="nothing was sent"):
        rows_of_query(CONN_ID, "SELECT 1 AS a")


def test_it_can_be_read_in_another_thread_than_it_was_made_in(people):
    rows = rows_of_query(CONN_ID, "SELECT id FROM people")
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.extend(rows))
    thread.start()
    thread.join()
    assert len(found) == 3
