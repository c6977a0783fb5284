"""From what a user gives as a list, a query or an opt-out list to its rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_omnichat.campaign.checks.opt_outs import Suppression, SuppressionError, numbers_in
from airflow_provider_omnichat.campaign.engine.progress import Log
from airflow_provider_omnichat.campaign.model.rows import BrokenRow, Row
from airflow_provider_omnichat.campaign.rows.columns import AnyColumns, RowColumns
from airflow_provider_omnichat.campaign.rows.files import rows_of_file
from airflow_provider_omnichat.campaign.rows.lists import ListedRows, is_frame, rows_of_dict, rows_of_list
from airflow_provider_omnichat.campaign.rows.spool import Spool
from airflow_provider_omnichat.hooks.sql_rows import rows_of_query
from airflow_provider_omnichat.tasks.given_files import file_given, guarded_rows


@dataclass(frozen=True, slots=True)
class GivenRows:
    """The :class:`RowSource` of a list in memory, a file at an address, or an iterator."""

    invites: Any = field(repr=False)
    columns: RowColumns

    @contextmanager
    def open(self, *, reads_twice: bool) -> Iterator[Iterable[Row | BrokenRow]]:
        """Open the list; a file or iterator that is read twice is set aside on disk."""
        invites, columns = self.invites, self.columns
        if isinstance(invites, Mapping):
            invites = rows_of_dict(invites)
        if isinstance(invites, list | tuple):
            yield columns.with_fields(ListedRows(invites), "invites")
            return
        file = file_given(invites, "invites")
        # Read in one thread from the first row on, since an iterator may need that: its errors come with that row.
        if file is not None:
            rows = guarded_rows(rows_of_file(file.open, file.name, columns), file.hidden)
        else:
            rows = guarded_rows(iter(columns.with_fields(rows_of_list(invites), "invites")))
        if reads_twice:
            with Spool(rows) as spool:
                yield spool
        else:
            yield rows


@dataclass(frozen=True, slots=True)
class QueryRows:
    """The :class:`RowSource` of a query, with the columns that are needed."""

    conn_id: str
    sql: str = field(repr=False)
    parameters: Sequence[Any] | Mapping[str, Any] | None = field(repr=False)
    columns: RowColumns
    log: Log

    @contextmanager
    def open(self, *, reads_twice: bool) -> Iterator[Spool]:
        """Run the query, and set its rows aside on disk: sending then holds neither memory nor a cursor for them."""
        with Spool(self._rows()) as spool:
            self.log.info("The query gave %s rows", len(spool))
            yield spool

    def _rows(self) -> Iterator[Row]:
        taken: dict[str, str] = {}

        def settle(names: Sequence[str]) -> None:
            taken.update(self.columns.of_header(names, "The query", " gives no column"))

        found = rows_of_query(self.conn_id, self.sql, self.parameters, settle)
        for position, values in enumerate(found, 1):
            yield Row(position, {field: values[column] for field, column in taken.items()})


def read_opt_outs(
    given: Any, to_column: str, region_column: str | None, default_region: str | None, log: Log
) -> Suppression | None:
    """Read an opt-out list, if there is one: a list, the address of a file, or a query."""
    if given is None:
        return None
    columns = AnyColumns(filter(None, (to_column, region_column)))
    opt_outs = Suppression(numbers_in(_opt_outs(given, columns), to_column, region_column), default_region)
    ignored = f", {opt_outs.ignored} entries without a number" if opt_outs.ignored else ""
    log.info("Opt-out list: %s numbers%s", len(opt_outs), ignored)
    return opt_outs


def _opt_outs(given: Any, columns: AnyColumns) -> Iterator[object]:
    if isinstance(given, Mapping):
        if {"conn_id", "sql", "parameters"} & set(given):
            if not {"conn_id", "sql"} <= set(given) <= {"conn_id", "sql", "parameters"}:
                raise SuppressionError("suppression: a query must be given as {'conn_id': ..., 'sql': ...}")
            found = rows_of_query(given["conn_id"], given["sql"], given.get("parameters"))
            yield from (Row(position, fields) for position, fields in enumerate(found, 1))
            return
        given = rows_of_dict(given, "suppression")
    file = file_given(given, "suppression")
    if file is not None:
        yield from guarded_rows(rows_of_file(file.open, file.name, columns), file.hidden)
        return
    if is_frame(given) or isinstance(given, bytes | bytearray) or not isinstance(given, Iterable):
        raise SuppressionError(
            "suppression: must be a list of numbers, the address of a file or a query, is a"
            f" {type(given).__name__}; of a data frame, give the column as a list"
        )
    entries = guarded_rows(_flat(given))
    for position, entry in enumerate(entries, 1):
        yield Row(position, entry) if isinstance(entry, Mapping) else entry


def _flat(entries: Iterable[Any]) -> Iterator[object]:
    """Yield the entries, also those in lists, which several mapped tasks give; None is not an entry."""
    for entry in entries:
        for each in entry if isinstance(entry, list | tuple) else (entry,):
            yield "" if each is None else each
