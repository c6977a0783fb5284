"""From what a user gives as a list to its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.api.privacy import scrub

if TYPE_CHECKING:
    from airflow_provider_omnichat.campaign.row_sources import BrokenRow
    from airflow_provider_omnichat.campaign.rows import Row

T = TypeVar("T")


class ListFailedError(OmnichatError):
    """What gives the list, a function or an iterator of the user's, has failed; another try may get further."""


@contextmanager
def rows_given(invites: Any, twice: bool) -> Iterator[Iterable[Row | BrokenRow]]:
    """
    Give the rows of a list in memory, of the file at an address, or of an iterator.

    :param invites: the list, the address or the iterator.
    :param twice: whether they are read more than once; a file or iterator is set aside on disk then.
    :raises RowSourceError: it is no list.
    :raises ListFailedError: see :func:`told`; also while the rows are read.
    """
    from airflow_provider_omnichat.campaign.row_sources import ListedRows, rows_of_file, rows_of_list

    if isinstance(invites, list | tuple):
        yield ListedRows(invites)
        return
    if isinstance(invites, str):
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        path: Any = ObjectStoragePath(invites)
        rows: Iterator[Row | BrokenRow] = rows_of_file(lambda: path.open("rb"), path.name)
    else:
        rows = _told_rows(rows_of_list(invites))
    if not twice:
        yield rows
        return
    from airflow_provider_omnichat.campaign.spool import Spool

    with Spool(rows) as spool:
        yield spool


def told(give: Callable[[], T]) -> T:
    """
    Call what gives a list, and tell its failure without showing what it may have put into the text.

    What it says to Airflow passes: that the task shall be skipped, or fail for good.

    :param give: of the user.
    :raises ListFailedError: with the class of what was raised, its text made safe to show, and its traceback.
    """
    try:
        return give()
    except (AirflowFailException, AirflowSkipException, OmnichatError):
        raise
    except Exception as error:  # whatever a user's code raises
        failure = error
    # Outside of the handler: a traceback shows an exception that was being handled, with its own text.
    text = f": {scrub(str(failure))}" if str(failure) else ""
    failed = ListFailedError(f"The list cannot be read to its end ({type(failure).__name__}{text}).")
    raise failed.with_traceback(failure.__traceback__)


def _told_rows(rows: Iterator[Row]) -> Iterator[Row]:
    while (row := told(lambda: next(rows, None))) is not None:
        yield row
