"""Cursors that give rows as a stream, whatever the driver: without more of the result in memory than a block."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any
from uuid import uuid4

# Drivers whose plain cursor takes the whole result into the worker's memory before it gives the first row.
_NAMED = frozenset({"psycopg2", "psycopg"})
_UNBUFFERED = frozenset({"MySQLdb", "pymysql"})


def streaming_cursor(connection: Any) -> Any:
    """
    Give a cursor that does not hold the whole result: on the server for PostgreSQL, unbuffered for MySQL.

    Those of other drivers stream as they are, as far as the driver can.

    :param connection: of a DB-API driver, with autocommit off. The cursor is its only one while it is read.
    """
    driver = _driver(connection)
    if driver in _NAMED:
        return connection.cursor(name=f"omnichat_{uuid4().hex}")
    if driver in _UNBUFFERED:
        return connection.cursor(sys.modules[f"{driver}.cursors"].SSCursor)
    return connection.cursor()


def give_up(connection: Any, cursor: Any = None) -> None:
    """
    Close a connection and its cursor, whatever state they are in.

    The connection first: mysqlclient's unbuffered cursor would read all the rest of its rows while closing.

    :param connection: to close.
    :param cursor: to close; None if there is none.
    """
    unread: Any = getattr(cursor, "_result", None)
    if hasattr(unread, "unbuffered_active"):
        unread.unbuffered_active = False  # PyMySQL's result would go on reading when it is forgotten
    for opened in (connection, cursor):
        if opened is not None:
            with suppress(Exception):  # it is given up, and what it says about that helps nobody
                opened.close()


def row_values(row: Any) -> tuple[Any, ...]:
    """
    Give the values of a row; connections can be set to give dicts.

    :param row: as a driver gives it.
    """
    return tuple(row.values()) if isinstance(row, dict) else tuple(row)


def _driver(connection: Any) -> str:
    # A subclass of a driver's connection works like it.
    for kind in type(connection).__mro__:
        name = kind.__module__.partition(".")[0]
        if name in _NAMED | _UNBUFFERED:
            return name
    return ""
