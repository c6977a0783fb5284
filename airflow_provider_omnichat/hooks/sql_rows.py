"""The rows of a query, as a stream, from any database that Airflow has a SQL hook for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.campaign.model.field_values import RoundedFloat
from airflow_provider_omnichat.campaign.sql.drivers import (
    advice_on_sqlite,
    failure_codes,
    failure_name,
    give_up,
    is_of_the_statement,
    lacks_rights,
    row_values,
    streaming_cursor,
)
from airflow_provider_omnichat.hooks.databases import connect, sql_hook

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

T = TypeVar("T")

_BLOCK_ROWS = 2000

_MOST_OF_FLOAT64 = 10**15
_SYNTAX: frozenset[object] = frozenset({"42601", 1064})
_POSTGRESQL = ("psycopg2", "psycopg")


class SqlQueryError(OmnichatError):
    """A query cannot be read to its end; the text names the connection and the class of the driver's error."""


class SqlQueryMistakeError(SqlQueryError, ValueError):
    """The query does not give a list; another try would end in the same way."""


def rows_of_query(
    conn_id: str,
    sql: str,
    parameters: Sequence[Any] | Mapping[str, Any] | None = None,
    columns: Callable[[Sequence[str]], None] | None = None,
) -> Iterator[dict[str, Any]]:
    """
    Run a query and yield its rows, by column name.

    Connects when the first row is asked for, closes after the last one, after an error, and when the iterator is given
    up, and commits nothing. Rows come in blocks, from a cursor on the server for PostgreSQL and an unbuffered one for
    MySQL, so that memory does not grow with the result. Read them without long pauses: PostgreSQL keeps a transaction
    open for them, and MySQL ends a result that is not fetched for a minute.

    :param columns: called once with the names of the columns, also if there are no rows; what it raises is passed on.
    :raises SqlQueryError: the query cannot be run or read to its end.
    :raises SqlQueryMistakeError: it is not one query, gives no rows, or has columns without a name or two of one name.
    """
    statement = _one_statement(sql)
    hook, _ = sql_hook(conn_id, "A list from a query", "any database that Airflow has a SQL hook for", SqlQueryError)
    return _rows(hook, conn_id, statement, parameters, columns)


def _rows(
    hook: DbApiHook,
    conn_id: str,
    statement: str,
    parameters: Sequence[Any] | Mapping[str, Any] | None,
    columns: Callable[[Sequence[str]], None] | None,
) -> Iterator[dict[str, Any]]:
    connection = _guarded(conn_id, "be reached", lambda: connect(hook, conn_id, SqlQueryError))
    cursor: Any = None
    try:
        cursor = _guarded(
            conn_id, "be queried", lambda: _run(hook, connection, statement, parameters), bool(parameters)
        )
        names: tuple[str, ...] | None = None
        while True:
            block = _guarded(conn_id, "be read from", lambda: cursor.fetchmany(_BLOCK_ROWS))
            if names is None:  # some server-side cursors know their columns only after the first fetch
                names = _names(conn_id, cursor.description)
                kinds = {name: repr(column[1]) for name, column in zip(names, cursor.description, strict=True)}
                floats = {name: _FLOATS[kind] for name, kind in kinds.items() if kind in _FLOATS}
                if columns is not None:
                    columns(names)
            if not block:
                return
            for row in block:
                fields = dict(zip(names, row_values(row), strict=True))
                for name, read in floats.items():
                    if isinstance(fields[name], float):
                        fields[name] = read(fields[name])
                yield fields
    finally:
        give_up(connection, cursor)


def _without_point(value: float) -> float:
    """Return a whole number as an int: a float of 64 bits holds all of its digits."""
    return int(value) if value.is_integer() and abs(value) < _MOST_OF_FLOAT64 else value


# By how drivers name a column of floats: PostgreSQL and MySQL by number, DuckDB by an object of that name. Compared by
# repr(), because a text "FLOAT" is BigQuery's, which has 64 bits. SQLite's driver names no types.
_FLOATS: dict[str, Callable[[float], Any]] = {
    **dict.fromkeys(("700", "4", "FLOAT"), RoundedFloat),
    **dict.fromkeys(("701", "5", "DOUBLE"), _without_point),
}


def _run(hook: DbApiHook, connection: Any, statement: str, parameters: Any) -> Any:
    if type(connection).__module__.partition(".")[0] in _POSTGRESQL:
        hook.set_autocommit(connection, False)  # its cursors live in a transaction, and extras may say otherwise
    cursor = streaming_cursor(connection)
    with suppress(AttributeError):  # for drivers that fetch ahead by it; DuckDB's cursor takes none
        cursor.arraysize = _BLOCK_ROWS
    if parameters:
        cursor.execute(statement, tuple(parameters) if isinstance(parameters, list) else parameters)
    else:
        cursor.execute(statement)  # without parameters, a % in it is a %
    return cursor


def _one_statement(sql: str) -> str:
    import sqlparse

    if not isinstance(sql, str):
        raise SqlQueryMistakeError(f"sql must be one query as a text, is a {type(sql).__name__}; nothing was sent")
    # Comments behind the last semicolon count as a statement there.
    statements = [statement for statement in sqlparse.split(sql) if _says_something(statement)]
    if len(statements) != 1:
        raise SqlQueryMistakeError(
            f"sql must be one query, and has {len(statements) or 'no'} statements; nothing was sent. Run what has to"
            " come before it in its own task"
        )
    return str(statements[0]).strip().rstrip(";").rstrip()  # Oracle's and Trino's take none


def _says_something(statement: str) -> bool:
    from sqlparse import lexer, tokens

    return any(
        kind not in tokens.Whitespace and kind not in tokens.Comment and text != ";"
        for kind, text in lexer.tokenize(statement)  # type: ignore[no-untyped-call]  # its own
    )


def _names(conn_id: str, description: Sequence[Sequence[Any]] | None) -> tuple[str, ...]:
    if not description:
        raise SqlQueryMistakeError(
            f"The statement on connection {conn_id!r} gives no rows; nothing was sent. sql must be a query, such as a"
            " SELECT"
        )
    names = tuple(str(column[0] or "") for column in description)
    for number, name in enumerate(names, 1):
        if not name.strip():
            raise SqlQueryMistakeError(
                f"Column {number} of the query on connection {conn_id!r} has no name; nothing was sent. Give it one"
                " with AS"
            )
        if name in names[: number - 1]:
            raise SqlQueryMistakeError(
                f"Columns {names.index(name) + 1} and {number} of the query on connection {conn_id!r} are both named"
                f" {name!r}; nothing was sent. Give each its own name with AS"
            )
    return names


def _guarded(conn_id: str, doing: str, attempt: Callable[[], T], binds: bool = False) -> T:
    """Use the driver, and report its failure without its words; *binds* says whether the query takes parameters."""
    try:
        return attempt()
    except SqlQueryError:
        raise
    except Exception as error:  # whatever a driver or a hook raises
        failure = error
    # Outside the handler: drivers put parameters into their texts, and a traceback shows an exception being handled.
    raise _error(conn_id, doing, failure, binds)


def _error(conn_id: str, doing: str, failure: Exception, binds: bool) -> SqlQueryError:
    codes = failure_codes(failure)
    misfit = binds and not codes and not is_of_the_statement(failure) and _is_of_the_driver(failure)
    if misfit:
        advice = (
            "See that sql and parameters fit together: each placeholder needs its value, in the style of this driver,"
            " and where that is %s or %(name)s, any other % of the query must be %%, also in comments"
        )
    elif of_the_file := advice_on_sqlite(failure):
        advice = of_the_file
    elif lacks_rights(failure):
        advice = "The connection's user needs the right to read what the query reads"
    elif is_of_the_statement(failure):
        advice = "Run the query by hand to see what the database says of it"
        if type(failure).__module__.partition(".")[0] in _POSTGRESQL:
            advice += "; it is read with a cursor on the server, which takes SELECT, VALUES, TABLE and WITH ... SELECT"
    else:
        advice = "See that the database is up and the connection right; a retry runs the query again"
    kind = SqlQueryMistakeError if misfit or codes & _SYNTAX else SqlQueryError
    return kind(f"Connection {conn_id!r} cannot {doing} ({failure_name(failure)}); nothing was sent. {advice}")


def _is_of_the_driver(failure: Exception) -> bool:
    """Return whether the driver refused the parameters: there is no code then, since no database was asked."""
    return isinstance(failure, TypeError | ValueError | LookupError) or type(failure).__name__ == "ProgrammingError"
