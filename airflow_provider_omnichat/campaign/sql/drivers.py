"""
What each database's driver does in its own way: cursors that stream, rows, and failures.

Of a driver's exception, only class and code may be shown: its text may have parameters in it.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any
from uuid import uuid4

# Drivers whose plain cursor loads the whole result into memory before it returns the first row.
_NAMED = frozenset({"psycopg2", "psycopg"})
_UNBUFFERED = frozenset({"MySQLdb", "pymysql"})

# Deadlock, serialization failure; in MySQL also a lock timeout and (MariaDB) a row that changed since it was read.
_CONFLICTS: frozenset[object] = frozenset({"40001", "40P01", 1205, 1213, 1020})
_NO_RIGHTS: frozenset[object] = frozenset({"42501", "25006", 1044, 1142, 1227, 1290, 1792, 1836})
# SQLSTATE classes, and the codes of MySQL, SQLite and DuckDB for the commonest of them, that are about the
# statement and not about the way to the database.
_STATEMENT: tuple[str, ...] = ("42", "22", "0A", "21", "34", "3D", "3F")
_STATEMENT_ELSEWHERE: frozenset[object] = frozenset({1049, 1050, 1054, 1064, 1146, "SQLITE_ERROR"})
_STATEMENT_DUCKDB = frozenset({"BinderException", "CatalogException", "ParserException"})
_NO_RIGHTS_SQLITE = ("SQLITE_PERM", "SQLITE_AUTH")
_CONFLICTS_SQLITE = ("SQLITE_BUSY", "SQLITE_LOCKED")
# What to do about SQLite's file, by how the code begins.
_SQLITE_FILE = {
    "SQLITE_CANTOPEN": (
        "The SQLite file cannot be opened: see that the connection's host is the path of a file and not of a"
        " directory, that its directory exists on this worker, and that this worker's user may read and write both"
    ),
    "SQLITE_NOTADB": (
        "The file is not an SQLite database, or is encrypted: give the connection the path of a database, or of a file"
        " that does not exist yet"
    ),
    "SQLITE_CORRUPT": "The SQLite file is damaged: restore a backup, or repair it with sqlite3's .recover",
    "SQLITE_READONLY": (
        "The SQLite file may only be read: this worker's user needs the right to write the file and its directory, and"
        " the connection must not have mode=ro"
    ),
    "SQLITE_BUSY": (
        "Another process keeps the SQLite file locked: see which one, such as a shell with an open"
        " transaction, and that the file is on a local disk, since network file systems often lock badly"
    ),
    "SQLITE_FULL": "The disk of the SQLite file is full: make room there",
    "SQLITE_IOERR": "The disk of the SQLite file fails; do not keep it on a network file system",
}
_SQLITE_FILE["SQLITE_LOCKED"] = _SQLITE_FILE["SQLITE_BUSY"]


def streaming_cursor(connection: Any) -> Any:
    """Return a cursor that streams; the connection has autocommit off, and no other cursor while this one is read."""
    for kind in type(connection).__mro__:  # a subclass of a driver's connection works like it
        driver = kind.__module__.partition(".")[0]
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


def is_conflict(error: Exception) -> bool:
    """Return whether another transaction was in the way, so that the same may succeed a moment later."""
    return bool(failure_codes(error) & _CONFLICTS) or _sqlite_code(error).startswith(_CONFLICTS_SQLITE)


def lacks_rights(error: Exception) -> bool:
    """Return whether the connection's user lacks a right."""
    return bool(failure_codes(error) & _NO_RIGHTS) or _sqlite_code(error).startswith(_NO_RIGHTS_SQLITE)


def advice_on_sqlite(error: Exception) -> str | None:
    """Return what is wrong with an SQLite file, and what to do; None if the error is not about the file."""
    code = _sqlite_code(error)
    return next((advice for begin, advice in _SQLITE_FILE.items() if code.startswith(begin)), None)


def is_of_the_statement(error: Exception) -> bool:
    """Return whether the database was reached and could not run a statement, such as for a missing column."""
    codes = {*failure_codes(error), getattr(error, "sqlite_errorname", None)}
    return (
        bool(codes & _STATEMENT_ELSEWHERE)
        or any(isinstance(code, str) and code.startswith(_STATEMENT) for code in codes)
        or type(error).__name__ in _STATEMENT_DUCKDB
    )


def failure_codes(error: Exception) -> set[object]:
    """Return the SQLSTATE of PostgreSQL's drivers, the number of MySQL's."""
    number = error.args[0] if error.args and isinstance(error.args[0], int) else None
    return {getattr(error, "sqlstate", None), getattr(error, "pgcode", None), number} - {None}


def failure_name(error: Exception) -> str:
    """Return class and code, and not the text: drivers put parameters into it."""
    codes = [*sorted(map(str, failure_codes(error))), getattr(error, "sqlite_errorname", None)]
    return " ".join([type(error).__name__, *filter(None, codes)])


def _sqlite_code(error: Exception) -> str:
    return str(getattr(error, "sqlite_errorname", None) or "")
