"""What a database driver's exception says that may be shown: its class and code, never its text."""

from __future__ import annotations

# Deadlock, serialization failure; in MySQL also a lock that came too late and (MariaDB) a row that changed meanwhile.
_CONFLICTS: frozenset[object] = frozenset({"40001", "40P01", 1205, 1213, 1020})
_NO_RIGHTS: frozenset[object] = frozenset({"42501", "25006", 1044, 1142, 1227, 1290, 1792, 1836})
# SQLSTATE classes, and the words of MySQL, SQLite and DuckDB for the commonest of them, that speak of what was asked
# and not of the way to the database.
_STATEMENT: tuple[str, ...] = ("42", "22", "0A", "21", "34", "3D", "3F")
_STATEMENT_ELSEWHERE: frozenset[object] = frozenset({1049, 1050, 1054, 1064, 1146, "SQLITE_ERROR"})
_STATEMENT_DUCKDB = frozenset({"BinderException", "CatalogException", "ParserException"})
_NO_RIGHTS_SQLITE = ("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH", "SQLITE_CANTOPEN")


def is_conflict(error: Exception) -> bool:
    """
    Whether another transaction was in the way, so that the same may succeed a moment later.

    :param error: as the driver raised it.
    """
    return bool(failure_codes(error) & _CONFLICTS)


def lacks_rights(error: Exception) -> bool:
    """
    Whether the connection's user may not do what was asked for.

    :param error: as the driver raised it.
    """
    sqlite = str(getattr(error, "sqlite_errorname", ""))
    return bool(failure_codes(error) & _NO_RIGHTS) or sqlite.startswith(_NO_RIGHTS_SQLITE)


def is_of_the_statement(error: Exception) -> bool:
    """
    Whether the database was there and could not do what a statement says, such as for want of a column.

    Most can be mended by a retry all the same: a table may just be being replaced.

    :param error: as the driver raised it.
    """
    codes = {*failure_codes(error), getattr(error, "sqlite_errorname", None)}
    return (
        bool(codes & _STATEMENT_ELSEWHERE)
        or any(isinstance(code, str) and code.startswith(_STATEMENT) for code in codes)
        or type(error).__name__ in _STATEMENT_DUCKDB
    )


def failure_codes(error: Exception) -> set[object]:
    """
    Give SQLSTATE from PostgreSQL's drivers, a number from MySQL's.

    :param error: as the driver raised it.
    """
    number = error.args[0] if error.args and isinstance(error.args[0], int) else None
    return {getattr(error, "sqlstate", None), getattr(error, "pgcode", None), number} - {None}


def failure_name(error: Exception) -> str:
    """
    Give class and code, and not the text: drivers put parameters into it.

    :param error: as the driver raised it.
    """
    codes = [*sorted(map(str, failure_codes(error))), getattr(error, "sqlite_errorname", None)]
    return " ".join([type(error).__name__, *filter(None, codes)])
