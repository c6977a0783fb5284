"""Airflow connections to real databases, by each of their drivers, through Airflow's own hook where it is installed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import sql_servers

CONN_ID = "warehouse"
DRIVERS = ["sqlite3", "psycopg2", "psycopg", "pymysql", "MySQLdb", "duckdb"]
MYSQL = ("pymysql", "MySQLdb")


@dataclass(frozen=True)
class Database:
    """A database, the connection to it, and a way past it for the test's own statements."""

    driver: str
    options: dict[str, Any]
    conn_id: str = CONN_ID

    @property
    def placeholder(self) -> str:
        return "?" if self.driver in ("sqlite3", "duckdb") else "%s"

    def connect(self) -> Any:
        if self.driver == "duckdb":
            import duckdb

            return duckdb.connect(**self.options)
        if self.driver == "MySQLdb":
            import MySQLdb

            return MySQLdb.connect(**self.options)
        return sql_servers.Target("sqlite", self.driver, self.options).connect()  # the dialect says nothing of this

    def run(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a statement, with ``?`` for parameters."""
        with closing(self.connect()) as connection:
            cursor = connection.cursor()
            cursor.execute(sql.replace("?", self.placeholder), *([parameters] if parameters else []))
            rows = [tuple(row) for row in cursor.fetchall()] if cursor.description else []
            if self.driver != "duckdb":
                connection.commit()
        return rows

    def fill(self, table: str, columns: str, rows: list[tuple[Any, ...]]) -> None:
        """Make a table of texts anew, with these rows."""
        names = columns.split()
        self.run(f"DROP TABLE IF EXISTS {table}")
        self.run(f"CREATE TABLE {table} ({', '.join(f'{name} VARCHAR(200)' for name in names)})")
        if rows:
            marks = ", ".join([f"({', '.join('?' * len(names))})"] * len(rows))
            self.run(f"INSERT INTO {table} VALUES {marks}", *(value for row in rows for value in row))


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[dict[str, Any]]:
    with sql_servers.postgresql() as options:
        yield options


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[dict[str, Any]]:
    with sql_servers.mariadb() as options:
        yield options


@pytest.fixture(params=DRIVERS)
def database(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A database that is new or shared with other tests, and the connection ``warehouse`` to it."""
    return connected(request.param, request, tmp_path, monkeypatch)


def connected(driver: str, request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    if driver == "sqlite3":
        path = folder / "warehouse.db"
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(path)}))
        return Database(driver, {"database": str(path)})
    pytest.importorskip(driver)
    if driver in ("psycopg2", "psycopg"):
        options = dict(request.getfixturevalue("postgresql_server"))
        _postgresql(driver, options, monkeypatch)
    elif driver in MYSQL:
        options = dict(request.getfixturevalue("mariadb_server"))
        _hooked(monkeypatch, "mysql", driver, options)
    else:
        # Each of its threads has memory of its own.
        options = {"database": str(folder / "warehouse.duckdb"), "config": {"threads": 1}}
        _hooked(monkeypatch, "duckdb", driver, options)
    return Database(driver, options)


def _postgresql(driver: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    postgres = pytest.importorskip("airflow.providers.postgres.hooks.postgres")
    made = {"conn_type": "postgres", "host": options["host"], "login": options["user"], "schema": options["dbname"]}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(made))
    if driver == "psycopg" and not getattr(postgres, "USE_PSYCOPG3", False):
        pytest.skip("Airflow 2.11 has no SQLAlchemy 2, without which its hook takes no psycopg 3")
    # The hook takes psycopg where it finds it.
    monkeypatch.setattr(postgres, "USE_PSYCOPG3", driver == "psycopg", raising=driver == "psycopg")


def _hooked(monkeypatch: pytest.MonkeyPatch, conn_type: str, driver: str, options: dict[str, Any]) -> None:
    """Give the connection a hook of the test, for drivers whose provider is not installed here."""
    from airflow.providers.common.compat.sdk import BaseHook
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    class DriverHook(DbApiHook):
        conn_name_attr = "driver_conn_id"
        supports_autocommit = driver in MYSQL
        placeholder = Database(driver, {}).placeholder

        def get_conn(self) -> Any:
            return Database(driver, options).connect()

        def set_autocommit(self, conn: Any, autocommit: bool) -> None:
            conn.autocommit(autocommit)

    usual = BaseHook.get_connection
    made = type("Made", (), {"conn_type": conn_type, "get_hook": lambda self: DriverHook()})()
    monkeypatch.setattr(
        BaseHook, "get_connection", staticmethod(lambda conn_id: made if conn_id == CONN_ID else usual(conn_id))
    )
