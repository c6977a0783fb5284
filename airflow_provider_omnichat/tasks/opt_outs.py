"""From what a user gives as an opt-out list to its numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from airflow_provider_omnichat.campaign.checks.opt_outs import Suppression, SuppressionError, numbers_in
from airflow_provider_omnichat.campaign.model.rows import Row
from airflow_provider_omnichat.campaign.rows.columns import AnyColumns
from airflow_provider_omnichat.campaign.rows.files import rows_of_file
from airflow_provider_omnichat.campaign.rows.lists import is_frame, rows_of_dict
from airflow_provider_omnichat.tasks.given_files import file_given, guarded_rows


def read_opt_outs(given: Any, to_column: str, region_column: str | None, default_region: str | None) -> Suppression:
    """
    Read an opt-out list.

    :param given: a list, the address of a file, or a query.
    :param to_column: the column that holds the number.
    :param region_column: the column that holds its country; None for none.
    :param default_region: the country of numbers without a country code.
    :raises SuppressionError: it cannot be used; the text says what is wrong, and what to do.
    """
    columns = AnyColumns(filter(None, (to_column, region_column)))
    return Suppression(numbers_in(_opt_outs(given, columns), to_column, region_column), default_region)


def _opt_outs(given: Any, columns: AnyColumns) -> Iterator[object]:
    """Give the entries of an opt-out list: of a list, of the file at an address, or of a query."""
    if isinstance(given, Mapping):
        if not {"conn_id", "sql", "parameters"} & set(given):
            given = rows_of_dict(given, "suppression")
        else:
            yield from _opt_outs_of_query(given)
            return
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


def _opt_outs_of_query(given: Mapping[str, Any]) -> Iterator[Row]:
    if not {"conn_id", "sql"} <= set(given) <= {"conn_id", "sql", "parameters"}:
        raise SuppressionError("suppression: a query must be given as {'conn_id': ..., 'sql': ...}")
    from airflow_provider_omnichat.hooks.sql_rows import rows_of_query

    found = rows_of_query(given["conn_id"], given["sql"], given.get("parameters"))
    return (Row(position, fields) for position, fields in enumerate(found, 1))


def _flat(entries: Iterable[Any]) -> Iterator[object]:
    """Give what stands in lists in a list, as where each of several mapped tasks gives one; None is no entry."""
    for entry in entries:
        for each in entry if isinstance(entry, list | tuple) else (entry,):
            yield "" if each is None else each
