"""From an Airflow connection to a database that takes result rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_omnichat.hooks.ledger_database import connect_for_writing, dialect_of
from airflow_provider_omnichat.hooks.sql_hook import sql_hook
from airflow_provider_omnichat.hooks.supervisor import in_turn

if TYPE_CHECKING:
    from airflow_provider_omnichat.campaign.sql.session import SqlDatabase

# Their hooks take no parameters by position, and each statement is a job of seconds.
_BIGQUERY = frozenset({"gcpbigquery", "google_cloud_platform"})


def result_database(conn_id: str) -> SqlDatabase:
    """
    Find the database behind a connection, without connecting to it.

    :param conn_id: a connection of any type whose hook is a ``DbApiHook``, but BigQuery's.
    :return: what :class:`~airflow_provider_omnichat.campaign.results.table.ResultTable` takes.
    :raises ResultTableError: the connection has no such hook; the text says what to do.
    :raises airflow.exceptions.AirflowNotFoundException: there is no such connection.
    """
    from airflow_provider_omnichat.campaign.results.table import ResultTableError
    from airflow_provider_omnichat.campaign.sql.session import SqlDatabase

    hook, conn_type = sql_hook(
        conn_id, "A results table", "a database that Airflow has a SQL hook for", ResultTableError
    )
    if conn_type in _BIGQUERY:
        raise ResultTableError(
            f"Connection {conn_id!r} (type {conn_type!r}) cannot hold a results table; nothing was sent. Give"
            " results_path a bucket (gs://...) instead of results_table, and load the files from there"
        )
    known = dialect_of(hook, conn_type)
    dialect = known or ("duckdb" if conn_type == "duckdb" else "other")
    connect = in_turn(lambda: connect_for_writing(hook, known, conn_id, ResultTableError))
    return SqlDatabase(connect, dialect, hook.placeholder, conn_id)
