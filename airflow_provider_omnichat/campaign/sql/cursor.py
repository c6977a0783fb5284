"""Cursors that stream rows, with any driver: no more of the result is in memory than a block."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any
from uuid import uuid4

# Drivers whose plain cursor loads the whole result into memory before it returns the first row.
_NAMED = frozenset({"psycopg2", "psycopg"})
_UNBUFFERED = frozenset({"MySQLdb", "pymysql"})


def streaming_cursor(connection: Any) -> Any:
    """Return a cursor that streams; the connection has autocommit off, and no other cursor while this one is read."""
    driver = _driver(connection)
    if driver in _NAMED:
        return connection.cursor(name=f"omnichat_{uuid4().hex}")
    if driver in _UNBUFFERED:
        return connection.cursor(sys.modules[f"{driver}.cursors"].SSCursor)
    return connection.cursor()


def give_up(connection: Any, cursor: Any = None) -> None:
    """Close a connection and its cursor, whatever state they are in."""
    unread: Any = getattr(cursor, "_result", None)
    if hasattr(unread, "unbuffered_active"):
        unread.unbuffered_active = False  # PyMySQL's result would go on reading when it is collected
    # The connection first: mysqlclient's unbuffered cursor would read the rest of its rows while it closes.
    for opened in (connection, cursor):
        if opened is not None:
            with suppress(Exception):  # it is given up, so its error helps nobody
                opened.close()


def row_values(row: Any) -> tuple[Any, ...]:
    """Return the values of a row; some connections are set to return dicts."""
    return tuple(row.values()) if isinstance(row, dict) else tuple(row)


def _driver(connection: Any) -> str:
    # A subclass of a driver's connection works like it.
    for kind in type(connection).__mro__:
        name = kind.__module__.partition(".")[0]
        if name in _NAMED | _UNBUFFERED:
            return name
    return ""
