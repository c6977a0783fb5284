"""From what a user gives as a list to its rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_omnichat.tasks.given_files import file_given, guarded_rows

if TYPE_CHECKING:
    from airflow_provider_omnichat.campaign.model.rows import BrokenRow, Row
    from airflow_provider_omnichat.campaign.rows.columns import RowColumns


class GivenRows:
    """The rows of a list in memory, of the file at an address, or of an iterator."""

    def __init__(self, invites: Any, columns: RowColumns) -> None:
        self._invites = invites
        self._columns = columns

    @contextmanager
    def open(self, *, reads_twice: bool) -> Iterator[Iterable[Row | BrokenRow]]:
        """
        See :class:`~airflow_provider_omnichat.campaign.model.rows.RowSource`.

        A file or iterator that is read twice is set aside on disk. What is wrong with one is raised when the first row
        is asked for: all of it is read in one thread, because an iterator may need that.
        """
        from airflow_provider_omnichat.campaign.rows.files import rows_of_file
        from airflow_provider_omnichat.campaign.rows.lists import ListedRows, rows_of_dict, rows_of_list
        from airflow_provider_omnichat.campaign.rows.spool import Spool

        invites, columns = self._invites, self._columns
        if isinstance(invites, Mapping):
            invites = rows_of_dict(invites)
        if isinstance(invites, list | tuple):
            yield columns.fitted(ListedRows(invites), "invites")
            return
        file = file_given(invites, "invites")
        if file is not None:
            rows = guarded_rows(rows_of_file(file.open, file.name, columns), file.hidden)
        else:
            rows = guarded_rows(iter(columns.fitted(rows_of_list(invites), "invites")))
        if reads_twice:
            with Spool(rows) as spool:
                yield spool
        else:
            yield rows
