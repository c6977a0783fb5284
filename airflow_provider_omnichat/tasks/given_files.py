"""From the address of a list to the file that is opened there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path, PurePath
from traceback import walk_tb
from typing import IO, Any, NamedTuple, TypeVar

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.api.privacy import (
    has_password,
    is_address,
    is_path,
    plain_address,
    scrub,
    secrets_in,
)
from airflow_provider_omnichat.campaign.model.rows import ListFailedError, RowSourceError

T = TypeVar("T")


class GivenFile(NamedTuple):
    """
    A file that somebody has given the address of.

    :param open: opens it for reading.
    :param name: its name; the ending says what it is.
    :param hidden: what must not be shown of its address.
    """

    open: Callable[[], IO[bytes]]
    name: str
    hidden: tuple[str, ...]


def file_given(given: object, argument: str) -> GivenFile | None:
    """
    Find the file at an address, without opening it; None for what is neither a text nor a path.

    :param given: a text, a :class:`pathlib.Path`, an ``ObjectStoragePath`` or what works like these.
    :param argument: the operator's argument that it was given as, for errors.
    :raises RowSourceError: it is a text and no address, or one that can never be opened.
    :raises ListFailedError: its storage cannot be reached.
    """
    if isinstance(given, PurePath):
        given = str(given)
    if isinstance(given, str):
        given = given.strip()
        _check_text(given, argument)
        check_address(given, argument, takes_query=True)
        hidden = secrets_in(given)
        path = guarded(lambda: _path_at(given, argument), hidden)
        name = plain_address(given).rpartition("/")[2]
        return GivenFile(lambda: path.open("rb"), path.name if name == "…" else name, hidden)
    if is_path(given):
        found: Any = given
        return GivenFile(lambda: found.open("rb"), found.name, secrets_in(given))
    return None


def guarded(give: Callable[[], T], hidden: tuple[str, ...] | None = None) -> T:
    """
    Call what gives a list, and raise its failure without what its text may show.

    What it says to Airflow passes: that the task shall be skipped, or fail for good.

    :param give: of the user, or of a storage.
    :param hidden: what must not be shown of what a storage says; None for code of the user's, which may name people in
        its texts: then none of it is shown.
    :raises ListFailedError: with the class of what was raised, the place or the text, and its traceback.
    """
    try:
        return give()
    except (AirflowFailException, AirflowSkipException, OmnichatError):
        raise
    except Exception as error:  # whatever a user's code or a storage raises
        failure = error
    # Outside of the handler: a traceback shows an exception that was being handled, with its own text.
    text = _line_of_user(failure) if hidden is None else f": {scrub(str(failure), hidden)}" if str(failure) else ""
    failed = ListFailedError(f"The list cannot be read to its end ({type(failure).__name__}{text}).")
    raise failed.with_traceback(failure.__traceback__)


def _line_of_user(error: Exception) -> str:
    for frame, line in walk_tb(error.__traceback__):
        if not frame.f_globals.get("__name__", "").startswith("airflow_provider_omnichat."):
            return f" at line {line} of {Path(frame.f_code.co_filename).name}"
    return ""


def guarded_rows(rows: Iterator[T], hidden: tuple[str, ...] | None = None) -> Iterator[T]:
    """
    Give what an iterator gives, and tell its failure as :func:`guarded` does.

    :param rows: none of them None.
    :param hidden: see :func:`guarded`.
    """
    while (row := guarded(lambda: next(rows, None), hidden)) is not None:
        yield row


def check_address(address: str, argument: str, *, takes_query: bool) -> None:
    """
    Refuse an address with secrets in it that Airflow makes nothing of.

    :param address: to look at.
    :param argument: the operator's argument that it was given as.
    :param takes_query: whether it may have a query, such as the version of a file.
    :raises RowSourceError: it has; nothing of it is shown.
    """
    if has_password(address):
        what = "a user and a password"
    elif not takes_query and "://" in address and "?" in address:
        what = "a query"
    else:
        return
    raise RowSourceError(
        f"{argument}: the address has {what} in it, and Airflow takes none there; put what is needed to log in into a"
        " connection, and write its id before an @, as in s3://conn_id@bucket/lists"
    )


def _check_text(text: str, argument: str) -> None:
    if is_address(text):
        return
    raise RowSourceError(
        f"{argument}: is a text of {len(text)} characters, and not the address of a file: that is a path or URL that"
        " ends in .csv, .tsv, .jsonl, .ndjson or .json (each may have .gz behind). A template makes a text of whatever"
        f" it is given: hand over the list of another task as it is, as {argument}=find.output (an XComArg), or give"
        " the DAG render_template_as_native_obj=True"
    )


def storage_path(address: str) -> Any:
    """
    Give the ``ObjectStoragePath`` of an address; Airflow 2 takes a relative path for one below the root.

    :param address: a path or URL.
    """
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    return ObjectStoragePath(address if "://" in address else str(Path(address).absolute()))


def _path_at(address: str, argument: str) -> Any:
    try:
        path = storage_path(address)
        path.fs  # noqa: B018 - here Airflow looks for the storage
    except ValueError as error:
        failure = type(error).__name__
    else:
        return path
    scheme = address.partition("://")[0] if "://" in address else "a path"
    raise RowSourceError(
        f"{argument}: Airflow knows no storage for {scheme} ({failure}); install the provider that has it on the"
        " workers, such as apache-airflow-providers-amazon with s3fs for s3"
    )
