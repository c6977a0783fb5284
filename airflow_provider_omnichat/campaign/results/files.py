"""
The result rows of a batch in files, so that all tries of a task instance together hold each row of the list once.

Rows that stand (accepted, rejected) go to ``sent-*`` files, which no later try touches. All others go to ``rest-*``
files: each try writes them again and, once it has them all, removes those of the tries before it. So a crash at any
moment leaves a row twice rather than not at all, and :func:`read_results` knows which one counts.
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.model.delivery import Deliveries
from airflow_provider_omnichat.campaign.model.known_recipients import KnownOutcomes
from airflow_provider_omnichat.campaign.model.pages import Page, PageQuery
from airflow_provider_omnichat.campaign.model.place import DECIDED, Place
from airflow_provider_omnichat.campaign.model.rows import Result
from airflow_provider_omnichat.campaign.results.directory import (
    Directory,
    FileName,
    ResultFileError,
    file_names,
    local_path,
    raise_file_error,
    shown,
    take_directory,
)
from airflow_provider_omnichat.campaign.results.file_deliveries import FileDeliveries
from airflow_provider_omnichat.campaign.results.file_pages import can_be_sorted, page_of
from airflow_provider_omnichat.campaign.results.file_writers import LocalFile, ObjectParts, Writer, cut_torn_line
from airflow_provider_omnichat.campaign.results.format import COLUMNS, RowFormat, read_lines


class ResultFiles(Place):
    """
    Files in a directory that belongs to one batch.

    On a local file system rows are appended at each :meth:`write`, so that a killed process leaves all of them but, at
    worst, one torn line, which the next try cuts off. On object storage, where a file appears only when it is complete,
    rows are sent in parts; what a killed process had not sent is lost. Files are for their owner only (0600) where the
    file system knows owners.

    :param try_number: only names files. The same number again overwrites nothing.
    :param recipient_of: returns the recipient key of a number; needed to write.
    :param owner: the batch; a directory with the rows of another one is refused. None takes any.
    :param key_column: what the user calls the row's key, such as ``customer_id``; None writes no key.
    :param part_rows: rows after which a part goes to object storage, a smaller one after *part_seconds*.
    """

    kind = "files"

    def __init__(
        self,
        directory: Directory,
        *,
        format: Literal["jsonl", "csv"] = "jsonl",
        try_number: int = 0,
        recipient_of: Callable[[str], str] | None = None,
        owner: str | None = None,
        key_column: str | None = None,
        part_rows: int = 10_000,
        part_seconds: float = 30.0,
    ) -> None:
        if key_column in COLUMNS:
            raise ValueError(f"the key column cannot be named {key_column!r}: the result rows have one of that name")
        if format not in ("jsonl", "csv"):
            raise ValueError(f"results are written as jsonl or csv, not as {format!r}")
        self._directory = directory
        self._format = RowFormat(format, key_column)
        self._try = try_number
        self._recipient_of = recipient_of
        self._owner = owner
        self._part_limits = (part_rows, part_seconds)
        self._names: _Names | None = None
        self._sent: Writer | None = None
        self._rest: Writer | None = None

    @property
    def location(self) -> str:
        return str(self._directory)

    @property
    def sorts(self) -> bool:
        """See :class:`.Place`; depends on the size of the files."""
        return can_be_sorted(self._directory)

    def rows_in(self) -> Mapping[str, str | None]:
        return {"kind": self.kind, "path": self.location}

    def earlier(self) -> Mapping[str, Outcome]:
        """See :class:`.Place`; cuts off a line that a crash has torn, where it can. 30 bytes a row."""
        assert self._recipient_of is not None, "this place was opened to be read"
        names = self._begin()
        known = KnownOutcomes()
        for name in names.before:
            path = self._directory / str(name)
            local = local_path(path)
            if local is not None:
                cut_torn_line(local)
            if name.kind == "sent":
                for _, result in _read_file(path, name.format):
                    if result is not None and result.outcome in DECIDED:
                        known.add(self._recipient_of(result.to), result.outcome)
        return known or {}

    def write(self, results: Sequence[tuple[str | None, Result]]) -> None:
        sent = [result for _, result in results if result.outcome in DECIDED]
        rest = [result for _, result in results if result.outcome not in DECIDED]
        if sent:
            self._sent = self._sent or self._writer("sent")
            self._sent.add(sent)
        if rest:
            self._rest = self._rest or self._writer("rest")
            self._rest.add(rest)
        # Taken both before either is written: a failure loses none.
        _each(writer.send for writer in (self._sent, self._rest) if writer)

    def close(self, whole: bool = False) -> None:
        _each(writer.close for writer in (self._sent, self._rest) if writer)
        if not whole:
            return
        own_run = self._begin().run
        for name in file_names(self._directory):
            if name.kind == "rest" and name.run < own_run:
                path = self._directory / str(name)
                try:
                    path.unlink()
                except FileNotFoundError:
                    pass
                except Exception as error:
                    raise_file_error(path, "removed", error)

    def page(self, query: PageQuery) -> Page:
        return page_of(self._directory, query)

    def deliveries(self) -> Deliveries:
        return FileDeliveries(self._directory, partial(read_results, self._directory))

    def _begin(self) -> _Names:
        if self._names is None:
            if self._owner is not None:
                take_directory(self._directory, self._owner)
            before = file_names(self._directory)
            run = max((name.run for name in before), default=0) + 1
            # Two processes that begin at the same moment must not meet in one file.
            self._names = _Names(before, run, secrets.token_hex(2))
        return self._names

    def _writer(self, kind: str) -> Writer:
        names = self._begin()

        def path_of(part: int) -> Any:
            return self._directory / str(FileName(kind, names.run, names.token, part, self._try, self._format.ending))

        if local_path(self._directory) is not None:
            return LocalFile(path_of, self._format)
        return ObjectParts(path_of, self._format, *self._part_limits)


def read_results(directory: Directory) -> Iterator[Result]:
    """
    Read the result rows of all tries, each row of the list once: a decided one if there is one, else the newest.

    A line torn by a crash is left out. Memory: nothing after a single try; else one whole number a row.

    :param directory: where :class:`ResultFiles` wrote.
    :raises ResultFileError: a file cannot be read, or has a line other than the last that is not a result row.
    """
    names = file_names(directory)
    sent = [name for name in names if name.kind == "sent"]
    newest_first = [name for name in reversed(names) if name.kind == "rest"]
    seen: set[int] | None = set() if len({(name.run, name.token) for name in names}) > 1 else None
    for name in sent + newest_first:
        path = directory / str(name)
        torn = 0
        for line, result in _read_file(path, name.format):
            if torn:
                raise ResultFileError(f"{shown(path)}: line {torn} is not a result row; was the file edited?")
            if result is None:
                torn = line
            elif seen is None:
                yield result
            else:
                # A list that changed between tries has other people at the same positions: all of them are returned.
                row = hash((result.position, result.to))
                if row not in seen:
                    seen.add(row)
                    yield result


@dataclass(frozen=True, slots=True)
class _Names:
    before: Sequence[FileName]
    run: int
    token: str


def _read_file(path: Any, format: str) -> Iterator[tuple[int, Result | None]]:
    """Read the number and the row of each line; None for a line that is not a row."""
    try:
        with path.open("rb") as file:
            lines = io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="\n")
            try:
                yield from read_lines(lines, format)
            finally:
                lines.detach()
    except Exception as error:
        raise_file_error(path, "read", error)


def _each(calls: Iterable[Callable[[], None]]) -> None:
    first: ResultFileError | None = None
    for call in calls:
        try:
            call()
        except ResultFileError as error:
            first = first or error
    if first:
        raise first
