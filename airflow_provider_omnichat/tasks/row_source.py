"""From what a user gives as a list to its rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_omnichat.tasks.given_files import file_given, told_all

if TYPE_CHECKING:
    from airflow_provider_omnichat.campaign.model.rows import BrokenRow, Row
    from airflow_provider_omnichat.campaign.rows.columns import RowColumns


@contextmanager
def row_source(invites: Any, columns: RowColumns, twice: bool) -> Iterator[Iterable[Row | BrokenRow]]:
    """
    Give the rows of a list in memory, of the file at an address, or of an iterator.

    :param invites: the list (a bare dict is its one row), the address, or the iterator.
    :param columns: that its rows must have.
    :param twice: whether they are read more than once; a file or iterator is set aside on disk then.
    :raises RowSourceError: it is no list, or lacks a column. Of a file or iterator, that is raised when the first row
        is asked for: all of it is read in one thread, because an iterator may need that.
    :raises ListFailedError: the file, function or iterator has failed; also while the rows are read.
    """
    from airflow_provider_omnichat.campaign.rows.files import rows_of_file
    from airflow_provider_omnichat.campaign.rows.lists import ListedRows, rows_of_dict, rows_of_list

    if isinstance(invites, Mapping):
        invites = rows_of_dict(invites)
    if isinstance(invites, list | tuple):
        yield columns.fitted(ListedRows(invites), "invites")
        return
    file = file_given(invites, "invites")
    if file is not None:
        rows = told_all(rows_of_file(file.open, file.name, columns), file.hidden)
    else:
        rows = told_all(iter(columns.fitted(rows_of_list(invites), "invites")))
    if twice:
        from airflow_provider_omnichat.campaign.rows.spool import Spool

        with Spool(rows) as spool:
            yield spool
    else:
        yield rows
