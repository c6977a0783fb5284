"""What a database driver's exception says that may be shown: its class and code, never its text."""

from __future__ import annotations

# Deadlock, serialization failure; in MySQL also a lock that came too late and (MariaDB) a row that changed meanwhile.
_CONFLICTS: frozenset[object] = frozenset({"40001", "40P01", 1205, 1213, 1020})
_NO_RIGHTS: frozenset[object] = frozenset({"42501", "25006", 1044, 1142, 1227, 1290, 1792, 1836})
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
