from __future__ import annotations

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import BaseHook
from airflow.providers.common.sql.hooks.sql import DbApiHook

from airflow_provider_omnichat.campaign.ledger.interface import CERTAINLY_NOT_SENT, Claim, LedgerError
from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from airflow_provider_omnichat.hooks.databases import ledger_database

CLAIM = Claim("recipient", "41790000000")


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    def define(**fields: Any) -> str:
        monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps(fields))
        return "ledger"

    return define


@pytest.fixture
def hooked(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, str], str]:
    """Give a connection a hook of the test's."""

    def define(hook: Any, conn_type: str) -> str:
        made = type("Made", (), {"conn_type": conn_type, "get_hook": lambda self: hook})()
        monkeypatch.setattr(BaseHook, "get_connection", lambda conn_id: made)
        return "ledger"

    return define


class FakeConnection:
    autocommit = True
    charset = "latin1"

    def set_character_set(self, name: str) -> None:
        self.charset = name


class FakeHook(DbApiHook):
    conn_name_attr = "fake_conn_id"
    supports_autocommit = True
    placeholder = "%s"
    dialect_name = "default"

    def get_conn(self) -> Any:
        return FakeConnection()


def test_a_sqlite_connection_makes_a_ledger_that_another_thread_uses(
    connection: Callable[..., str], tmp_path: Path
) -> None:
    path = tmp_path / "a ledger.db"
    database = ledger_database(connection(conn_type="sqlite", host=str(path)))
    assert not path.exists(), "nothing is done before it is used"
    assert (database.dialect, database.placeholder) == ("sqlite", "?")
    first, second = (SqlLedger(database, "campaign", owner) for owner in ("monday", "tuesday"))
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(first.claim, [CLAIM], CERTAINLY_NOT_SENT).result() == {}
        thread.submit(first.close).result()
    assert list(second.claim([CLAIM], CERTAINLY_NOT_SENT)) == ["recipient"]
    second.close()
    assert path.exists()


def test_a_sqlite_connection_without_a_file_is_refused_when_used(connection: Callable[..., str]) -> None:
    ledger = SqlLedger(ledger_database(connection(conn_type="sqlite")), "campaign", "monday")
    with pytest.raises(LedgerError, match="names no file"):
        ledger.claim([CLAIM], CERTAINLY_NOT_SENT)


def test_a_connection_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Exception, match="nowhere"):
        ledger_database("nowhere")


def test_a_connection_to_something_else_is_refused(connection: Callable[..., str]) -> None:
    conn_id = connection(conn_type="omnichat", host="https://example.test")
    with pytest.raises(LedgerError, match=r"'ledger' \(type 'omnichat'\) is not one to an SQL database"):
        ledger_database(conn_id)


def test_a_type_without_a_provider_is_refused(connection: Callable[..., str]) -> None:
    with pytest.raises(LedgerError, match=r"\(type 'no_such_type'\) has no hook that can be loaded .*Install the prov"):
        ledger_database(connection(conn_type="no_such_type"))


def test_without_the_extra_it_says_what_to_install(
    connection: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "airflow.providers.common.sql.hooks.sql", None)
    with pytest.raises(LedgerError, match=r"airflow-provider-omnichat\[sql\]"):
        ledger_database(connection(conn_type="sqlite"))


@pytest.mark.parametrize(
    ("conn_type", "named", "dialect"),
    [
        ("postgres", "default", "postgresql"),
        ("mysql", "default", "mysql"),
        ("odbc", "postgresql", "postgresql"),
        ("odbc", "mysql+pyodbc", "mysql"),
        ("generic", "mariadb", "mysql"),
    ],
)
def test_autocommit_is_switched_off_and_the_dialect_known(
    hooked: Callable[[Any, str], str], conn_type: str, named: str, dialect: str
) -> None:
    hook = FakeHook()
    hook.dialect_name = named
    database = ledger_database(hooked(hook, conn_type))
    made = database.connect()
    assert database.dialect == dialect
    assert made.autocommit is False
    assert made.charset == ("utf8mb4" if dialect == "mysql" else "latin1")


def test_a_database_that_keeps_no_primary_key_is_refused(hooked: Callable[[Any, str], str]) -> None:
    hook = FakeHook()
    hook.dialect_name = "snowflake"
    with pytest.raises(LedgerError, match=r"\(type 'snowflake'\) cannot hold the ledger"):
        ledger_database(hooked(hook, "snowflake"))


def test_a_hook_that_cannot_say_what_is_behind_it_is_refused(hooked: Callable[[Any, str], str]) -> None:
    class Silent(FakeHook):
        @property
        def dialect_name(self) -> str:  # type: ignore[override]
            raise LookupError("no such dialect")

    with pytest.raises(LedgerError, match=r"\(type 'exotic'\) cannot hold the ledger"):
        ledger_database(hooked(Silent(), "exotic"))
