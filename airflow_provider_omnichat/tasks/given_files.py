"""From the address of a list to the file that is opened there, and failures that show nobody's data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path, PurePath
from traceback import walk_tb
from typing import IO, Any, NamedTuple, TypeVar

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.api.privacy import (
    file_name,
    has_password,
    is_address,
    is_path,
    scrub,
    secrets_in,
    shown_address,
)
from airflow_provider_omnichat.campaign.model.rows import ListFailedError, RowSourceError
from airflow_provider_omnichat.hooks.supervisor import in_turn

T = TypeVar("T")


class GivenFile(NamedTuple):
    """A file at an address that a user gave."""

    open: Callable[[], IO[bytes]]
    name: str
    hidden: tuple[str, ...]


def file_given(given: object, argument: str) -> GivenFile | None:
    """Find the file at an address, without opening it; None if it is neither text nor a path."""
    if isinstance(given, PurePath):
        given = str(given)
    if isinstance(given, str):
        given = given.strip()
        if not is_address(given):
            raise RowSourceError(
                f"{argument}: is a text of {len(given)} characters, and not the address of a file, which is a path or"
                " URL that ends in .csv, .tsv, .jsonl, .ndjson or .json (.gz may follow). A template turns what it is"
                f" given into text: pass the list of another task itself, as {argument}=find.output (an XComArg), or"
                " set render_template_as_native_obj=True on the DAG"
            )
        check_address(given, argument, takes_query=True)
        hidden = secrets_in(given)
        path = guarded(lambda: _path_at(given, argument), hidden)
        name = file_name(given)
        return GivenFile(lambda: _open(path, argument), path.name if name == "…" else name, hidden)
    if is_path(given):
        found: Any = given
        return GivenFile(lambda: _open(found, argument), found.name, secrets_in(given))
    return None


def guarded(give: Callable[[], T], hidden: tuple[str, ...] | None = None) -> T:
    """
    Call what returns a list or its next row, and raise its failure as ListFailedError, without anybody's data.

    Airflow's own exceptions pass: they skip the task, or fail it for good. *hidden* are secrets to leave out of a
    storage's text; None for the user's code, of whose text nothing is shown: it may name people.
    """
    try:
        return give()
    except (AirflowFailException, AirflowSkipException, OmnichatError):
        raise
    except Exception as error:  # whatever a user's code or a storage raises
        failure = error
    # Outside the handler: a traceback also shows the exception that was being handled, with its text.
    text = _line_of_user(failure) if hidden is None else f": {scrub(str(failure), hidden)}" if str(failure) else ""
    failed = ListFailedError(f"The list cannot be read to its end ({type(failure).__name__}{text}).")
    raise failed.with_traceback(failure.__traceback__)


def _line_of_user(error: Exception) -> str:
    for frame, line in walk_tb(error.__traceback__):
        if not frame.f_globals.get("__name__", "").startswith("airflow_provider_omnichat."):
            return f" at line {line} of {Path(frame.f_code.co_filename).name}"
    return ""


def guarded_rows(rows: Iterator[T], hidden: tuple[str, ...] | None = None) -> Iterator[T]:
    """Iterate over rows, none of them None, and raise a failure as :func:`guarded` does."""
    return iter(in_turn(lambda: guarded(lambda: next(rows, None), hidden)), None)


def check_address(address: str, argument: str, *, takes_query: bool) -> None:
    """Refuse an address with secrets that Airflow ignores."""
    if has_password(address):
        what = "a user and a password"
    elif not takes_query and "://" in address and "?" in address:
        what = "a query"
    else:
        return
    raise RowSourceError(
        f"{argument}: the address has {what} in it, which Airflow ignores there; put the login into a connection, and"
        " write its id before an @, as in s3://conn_id@bucket/lists"
    )


def storage_path(address: str) -> Any:
    """Return the ``ObjectStoragePath`` of an address; Airflow 2 takes a relative path for one below the root."""
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    return ObjectStoragePath(address if "://" in address else str(Path(address).absolute()))


def _open(path: Any, argument: str) -> IO[bytes]:
    is_folder, failure = False, None
    try:
        stream: IO[bytes] = path.open("rb")
        if getattr(stream, "size", None) != 0:  # in an object store, a folder may exist as an empty object
            return stream
    except (OSError, ValueError) as error:
        failure = error
    with suppress(Exception):  # whatever a storage raises: its first failure is reported
        is_folder = path.is_dir()
    if is_folder:
        raise RowSourceError(f"{argument}: {shown_address(path)} is a folder; give the address of a file in it")
    if failure is not None:
        raise failure
    return stream


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
        f"{argument}: Airflow knows no storage for {scheme} ({failure}); install its provider on the workers, such as"
        " apache-airflow-providers-amazon with s3fs for s3"
    )
