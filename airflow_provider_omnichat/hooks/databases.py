"""From an Airflow connection to its SQL database: for lists, for the ledger, and for result rows."""

from __future__ import annotations

import os
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from airflow.providers.common.compat.sdk import AirflowException, BaseHook

from airflow_provider_omnichat.api.privacy import scrub
from airflow_provider_omnichat.campaign.ledger.interface import LedgerError
from airflow_provider_omnichat.hooks.supervisor import in_turn

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    from airflow_provider_omnichat.campaign.sql.session import SqlDatabase
    from airflow_provider_omnichat.campaign.sql.written_table import AnyDialect, Dialect

_DIALECTS: dict[str, Dialect] = {
    "sqlite": "sqlite",
    "postgres": "postgresql",
    "postgresql": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
}
# Their hooks take no parameters by position, and each statement is a job of seconds.
_BIGQUERY = frozenset({"gcpbigquery", "google_cloud_platform"})


def ledger_database(conn_id: str) -> SqlDatabase:
    """Return the database behind a connection, for the SQL ledger, without connecting to it; else LedgerError."""
    hook, conn_type = sql_hook(conn_id, "The SQL ledger", "PostgreSQL, MySQL, MariaDB or SQLite", LedgerError)
    dialect = _dialect_of(hook, conn_type)
    if dialect is None:
        raise LedgerError(
            f"Connection {conn_id!r} (type {conn_type!r}) cannot hold the ledger; nothing was sent. It takes a database"
            " that keeps to a primary key: PostgreSQL, MySQL, MariaDB or SQLite"
        )
    return _database(hook, conn_id, dialect, LedgerError)


def result_database(conn_id: str) -> SqlDatabase:
    """Return the database behind a connection, for result rows, without connecting to it; else ResultTableError."""
    from airflow_provider_omnichat.campaign.results.table import ResultTableError

    takes = "a database that Airflow has a SQL hook for"
    hook, conn_type = sql_hook(conn_id, "A results table", takes, ResultTableError)
    if conn_type in _BIGQUERY:
        raise ResultTableError(
            f"Connection {conn_id!r} (type {conn_type!r}) cannot hold a results table; nothing was sent. Give"
            " results_path a bucket (gs://...) instead of results_table, and load the files from there"
        )
    dialect = _dialect_of(hook, conn_type) or ("duckdb" if conn_type == "duckdb" else "other")
    return _database(hook, conn_id, dialect, ResultTableError)


def sql_hook(conn_id: str, purpose: str, takes: str, error: type[Exception]) -> tuple[DbApiHook, str]:
    """Return the SQL hook of a connection, and its type, without connecting; raise *error* if it has none."""
    try:
        from airflow.providers.common.sql.hooks.sql import DbApiHook
    except ImportError as missing:
        raise error(
            f"{purpose} needs apache-airflow-providers-common-sql; nothing was sent. Install"
            " 'airflow-provider-omnichat[sql]' on the workers"
        ) from missing
    connection = BaseHook.get_connection(conn_id)
    conn_type = str(connection.conn_type)
    try:
        hook: object = connection.get_hook()  # type: ignore[no-untyped-call]  # Airflow's own
    except Exception as failure:  # an unknown type, a missing provider or driver
        raise error(
            f"Connection {conn_id!r} (type {conn_type!r}) has no hook that can be loaded ({type(failure).__name__});"
            " nothing was sent. Install the provider of its type, with its driver, on the workers"
        ) from failure
    if not isinstance(hook, DbApiHook):
        raise error(
            f"Connection {conn_id!r} (type {conn_type!r}) is not one to an SQL database; nothing was sent. {purpose}"
            f" takes {takes}"
        )
    return hook, conn_type


def connect(hook: DbApiHook, conn_id: str, error: type[Exception]) -> Any:
    """Connect; raise *error* with Airflow's reason if Airflow itself refuses. A driver's own error passes."""
    try:
        return hook.get_conn()
    except (ImportError, LookupError, RuntimeError, TypeError, ValueError, AirflowException) as failure:
        frames = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(failure.__traceback__)]
        if not frames[-1].startswith("airflow."):
            raise
        reason = f"{type(failure).__name__}: {scrub(str(failure))}"
    raise error(f"Airflow refuses connection {conn_id!r} ({reason}); nothing was sent. Correct the connection")


def _database(hook: DbApiHook, conn_id: str, dialect: AnyDialect, error: type[Exception]) -> SqlDatabase:
    from airflow_provider_omnichat.campaign.sql.session import SqlDatabase

    connect = in_turn(lambda: _connect_for_writing(hook, dialect, conn_id, error))
    return SqlDatabase(connect, dialect, hook.placeholder, conn_id)


def _connect_for_writing(hook: DbApiHook, dialect: AnyDialect, conn_id: str, error: type[Exception]) -> Any:
    """Make a connection whose transactions end where its user says so."""
    if dialect == "sqlite":
        with suppress(Exception):  # connect() says what Airflow refuses
            _make_private_file(hook.get_uri())
    connection = connect(hook, conn_id, error)
    # SQLite's transactions begin where the session says so. What has no transactions says that it has no autocommit.
    if dialect != "sqlite" and (dialect in _DIALECTS.values() or hook.supports_autocommit):
        hook.set_autocommit(connection, False)
    if dialect == "mysql" and hasattr(connection, "set_character_set"):  # some clients begin with latin1
        connection.set_character_set("utf8mb4")
    return connection


def _make_private_file(uri: str) -> None:
    """Make a new SQLite file for its owner only: it holds whole numbers. SQLite gives its journals the same rights."""
    path, _, options = uri.removeprefix("sqlite:///").partition("?")
    makes_it = parse_qs(options).get("mode", ["rwc"]) == ["rwc"]
    if path and not path.startswith(":") and makes_it:
        with suppress(OSError):  # it exists; or SQLite says what is in the way
            os.close(os.open(unquote(path), os.O_CREAT | os.O_EXCL, 0o600))


def _dialect_of(hook: DbApiHook, conn_type: str) -> Dialect | None:
    """Return which of the ledger's databases is behind a hook; None for any other."""
    if conn_type in _DIALECTS:
        return _DIALECTS[conn_type]
    # Connections such as ODBC's say in their extra what is behind them.
    try:
        name = str(getattr(hook, "dialect_name", None))
    except Exception:  # some hooks ask SQLAlchemy, for which many a database needs a package that is not installed
        return None
    return _DIALECTS.get(name.partition("+")[0])
