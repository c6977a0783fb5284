"""From an Airflow connection to the hook of its SQL database."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, BaseHook

from airflow_provider_omnichat.api.privacy import scrub

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook


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
    except Exception as failure:  # an unknown type, a provider that is missing or whose driver is
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
    """Connect to the database; if Airflow itself refuses, raise *error* with its reason. A driver's is not told."""
    try:
        return hook.get_conn()
    except (ImportError, LookupError, RuntimeError, TypeError, ValueError, AirflowException) as failure:
        frames = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(failure.__traceback__)]
        if not frames[-1].startswith("airflow."):
            raise
        reason = f"{type(failure).__name__}: {scrub(str(failure))}"
    raise error(f"Airflow refuses connection {conn_id!r} ({reason}); nothing was sent. Correct the connection")
