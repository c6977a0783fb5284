"""From an Airflow connection to the database of the SQL ledger."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from airflow_provider_omnichat.campaign.ledger.interface import LedgerError
from airflow_provider_omnichat.hooks.sql_hook import connect, sql_hook
from airflow_provider_omnichat.hooks.supervisor import in_turn

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    from airflow_provider_omnichat.campaign.sql.session import SqlDatabase
    from airflow_provider_omnichat.campaign.sql.written_table import Dialect

_DIALECTS: dict[str, Dialect] = {
    "sqlite": "sqlite",
    "postgres": "postgresql",
    "postgresql": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
}


def ledger_database(conn_id: str) -> SqlDatabase:
    """
    Find the database behind a connection, without connecting to it.

    :param conn_id: a connection of any type whose hook is a ``DbApiHook``, to SQLite, PostgreSQL, MySQL or MariaDB.
    :return: what :class:`~airflow_provider_omnichat.campaign.ledger.sql_ledger.SqlLedger` takes.
    :raises LedgerError: the connection has no such hook, or is to another database; the text says what to do.
    :raises airflow.exceptions.AirflowNotFoundException: there is no such connection.
    """
    from airflow_provider_omnichat.campaign.sql.session import SqlDatabase

    hook, conn_type = sql_hook(conn_id, "The SQL ledger", "PostgreSQL, MySQL, MariaDB or SQLite", LedgerError)
    dialect = dialect_of(hook, conn_type)
    if dialect is None:
        raise LedgerError(
            f"Connection {conn_id!r} (type {conn_type!r}) cannot hold the ledger; nothing was sent. It takes a database"
            " that keeps to a primary key: PostgreSQL, MySQL, MariaDB or SQLite"
        )

    connect = in_turn(lambda: connect_for_writing(hook, dialect, conn_id, LedgerError))
    return SqlDatabase(connect, dialect, hook.placeholder, conn_id)


def connect_for_writing(hook: DbApiHook, dialect: Dialect | None, conn_id: str, error: type[Exception]) -> Any:
    """
    Make a connection whose transactions end where its user says so.

    :param hook: of the connection.
    :param dialect: see :func:`dialect_of`.
    """
    if dialect == "sqlite":
        with suppress(Exception):  # what Airflow refuses is told by connect()
            _make_private_file(hook.get_uri())
    connection = connect(hook, conn_id, error)
    # SQLite's transactions begin where the session says so. What has no transactions says that it has no autocommit.
    if dialect != "sqlite" and (dialect or hook.supports_autocommit):
        hook.set_autocommit(connection, False)
    if dialect == "mysql" and hasattr(connection, "set_character_set"):  # some clients begin with latin1
        connection.set_character_set("utf8mb4")
    return connection


def _make_private_file(uri: str) -> None:
    """Make a new SQLite file for its owner only: it holds whole numbers. SQLite gives its journals the same rights."""
    path, _, options = uri.removeprefix("sqlite:///").partition("?")
    if path and not path.startswith(":") and "mode=" not in options:
        with suppress(OSError):  # it is there; or SQLite says what is in the way
            os.close(os.open(unquote(path), os.O_CREAT | os.O_EXCL, 0o600))


def dialect_of(hook: DbApiHook, conn_type: str) -> Dialect | None:
    """
    Tell which of the ledger's databases is behind a hook; None for any other.

    :param hook: of the connection.
    :param conn_type: the connection's type.
    """
    if conn_type in _DIALECTS:
        return _DIALECTS[conn_type]
    # Connections such as ODBC's say in their extra what is behind them.
    try:
        name = str(getattr(hook, "dialect_name", None))
    except Exception:  # some hooks ask SQLAlchemy, for which many a database needs a package that is not installed
        return None
    return _DIALECTS.get(name.partition("+")[0])
