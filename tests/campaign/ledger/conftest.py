"""Ledgers in every database, each in a table of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from tests.support.ledger_homes import Home
from tests.support.sql_claims import CAMPAIGN
from tests.support.sql_servers import Target

ISOLATIONS = [  # of a driver: the database's own level, or another
    "sqlite3",
    "psycopg2",
    "psycopg2/repeatable read",
    pytest.param("psycopg2/serializable", marks=pytest.mark.slow),
    pytest.param("psycopg", marks=pytest.mark.slow),
    "pymysql",
    pytest.param("pymysql/READ COMMITTED", marks=pytest.mark.slow),
    pytest.param("pymysql/SERIALIZABLE", marks=pytest.mark.slow),
]


def _target(name: str, request: pytest.FixtureRequest, folder: Path) -> Target:
    driver, _, isolation = name.partition("/")
    if driver == "sqlite3":
        return Target("sqlite", driver, {"database": str(folder / "ledger.db")})
    pytest.importorskip(driver)
    if driver == "pymysql":
        options = dict(request.getfixturevalue("mariadb_server"))
        if isolation:
            options["init_command"] = f"SET SESSION TRANSACTION ISOLATION LEVEL {isolation}"
        return Target("mysql", driver, options)
    options = dict(request.getfixturevalue("postgresql_server"))
    if isolation:
        options["options"] = "-c default_transaction_isolation=" + isolation.replace(" ", "\\ ")
    return Target("postgresql", driver, options)


@pytest.fixture(params=["sqlite3", "psycopg2", "psycopg", "pymysql"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    return _target(request.param, request, tmp_path)


@pytest.fixture(params=ISOLATIONS)
def any_isolation(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    return _target(request.param, request, tmp_path)


@pytest.fixture
def table() -> str:
    return f"invites_{uuid4().hex[:8]}"


@pytest.fixture
def ledger(target: Target, table: str) -> Iterator[Callable[..., SqlLedger]]:
    """Make a ledger; its connections are closed after the test."""
    made: list[SqlLedger] = []

    def make(
        owner: str = "dag/run/task/-1",
        campaign: str = CAMPAIGN,
        table: str = table,
        wrapped: Callable[[Any], Any] = lambda connection: connection,
        has_ended: Callable[[str], bool | None] = lambda _: None,
    ) -> SqlLedger:
        made.append(SqlLedger(target.database(wrapped), campaign, owner, table, has_ended))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(params=["journal", "sql", "capped"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    made = Home(request.param, tmp_path)
    yield made
    made.close()


@pytest.fixture(params=["journal", "state store", "sql", "capped"])
def any_home(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    made = Home(request.param, tmp_path)
    yield made
    made.close()
