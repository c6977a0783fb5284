"""From an Airflow connection to the database of the SQL ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_omnichat.campaign.ledger import LedgerError

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    from airflow_provider_omnichat.campaign.sql_database import SqlDatabase
    from airflow_provider_omnichat.campaign.sql_table import Dialect

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
    :return: what :class:`~airflow_provider_omnichat.campaign.sql_ledger.SqlLedger` takes.
    :raises LedgerError: the connection has no such hook, or is to another database; the text says what to do.
    :raises airflow.exceptions.AirflowNotFoundException: there is no such connection.
    """
    from airflow_provider_omnichat.campaign.sql_database import SqlDatabase

    hook, conn_type = _hook_of(conn_id)
    dialect = _dialect_of(hook, conn_type)
    if dialect is None:
        raise LedgerError(
            f"Connection {conn_id!r} (type {conn_type!r}) cannot hold the ledger; nothing was sent. It takes a database"
            " that keeps to a primary key: PostgreSQL, MySQL, MariaDB or SQLite"
        )

    def connect() -> Any:
        connection = hook.get_conn()
        if dialect != "sqlite":  # there, the ledger begins its transactions itself
            hook.set_autocommit(connection, False)
        if dialect == "mysql" and hasattr(connection, "set_character_set"):  # some clients begin with latin1
            connection.set_character_set("utf8mb4")
        return connection

    return SqlDatabase(connect, dialect, hook.placeholder)


def _hook_of(conn_id: str) -> tuple[DbApiHook, str]:
    try:
        from airflow.providers.common.sql.hooks.sql import DbApiHook
    except ImportError as error:
        raise LedgerError(
            "The SQL ledger needs apache-airflow-providers-common-sql; nothing was sent. Install"
            " 'airflow-provider-omnichat[sql]' on the workers"
        ) from error
    connection = BaseHook.get_connection(conn_id)
    conn_type = str(connection.conn_type)
    try:
        hook: object = connection.get_hook()  # type: ignore[no-untyped-call]  # Airflow's own
    except Exception as error:  # an unknown type, a provider that is missing or whose driver is
        raise LedgerError(
            f"Connection {conn_id!r} (type {conn_type!r}) has no hook that can be loaded ({type(error).__name__});"
            " nothing was sent. Install the provider of its type, with its driver, on the workers"
        ) from error
    if not isinstance(hook, DbApiHook):
        raise LedgerError(
            f"Connection {conn_id!r} (type {conn_type!r}) is not one to an SQL database; nothing was sent. The ledger"
            " takes PostgreSQL, MySQL, MariaDB or SQLite"
        )
    return hook, conn_type


def _dialect_of(hook: DbApiHook, conn_type: str) -> Dialect | None:
    if conn_type in _DIALECTS:
        return _DIALECTS[conn_type]
    # Connections such as ODBC's say in their extra what is behind them.
    return _DIALECTS.get(str(getattr(hook, "dialect_name", None)).partition("+")[0])
