"""
The result rows of a batch in files, so that all tries of a task instance together hold each row of the list once.

Rows that stand (accepted, rejected) go to ``sent-*`` files, which no later try touches. All others go to ``rest-*``
files: each try writes them anew and, once it has them all, removes those of the tries before it. So a crash at any
moment leaves a row twice rather than not at all, and :func:`read_results` knows which one holds.
"""

from __future__ import annotations

import io
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Literal, NoReturn, Protocol

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.privacy import scrub, secrets_in, shown_address
from airflow_provider_omnichat.campaign.model.known_outcomes import KnownOutcomes
from airflow_provider_omnichat.campaign.model.rows import Result
from airflow_provider_omnichat.campaign.results.format import COLUMNS, Csv, JsonLines, RowFormat, read_csv, read_json
from airflow_provider_omnichat.campaign.results.sink import FINAL_OUTCOMES

_NAME = re.compile(r"(sent|rest)-try-(\d+)-(\d+)-([0-9a-f]+)-(\d+)\.(jsonl|csv)")


class ResultFileError(OmnichatError):
    """Result rows cannot be written or read; the text names the file and the reason."""


class Directory(Protocol):
    """What is asked of a path, local or on object storage: the part of ``pathlib`` that both have."""

    @property
    def name(self) -> str: ...  # noqa: D102 - as pathlib
    def __truediv__(self, name: str) -> Any: ...
    def open(self, mode: Any) -> Any: ...  # noqa: D102
    def exists(self) -> bool: ...  # noqa: D102
    def iterdir(self) -> Iterable[Any]: ...  # noqa: D102
    def mkdir(self, *, parents: bool, exist_ok: bool) -> None: ...  # noqa: D102
    def unlink(self) -> None: ...  # noqa: D102


class ResultFiles:
    """
    Keeps result rows in a directory of their own.

    A :class:`~airflow_provider_omnichat.campaign.results.sink.ResultSink`.

    On a local file system rows are appended at each :meth:`write`, so that a killed process leaves all of them but, at
    worst, one torn line, which the next try cuts off. On object storage, where a file appears only when it is complete,
    rows go out in parts; what a killed process had not sent is not there. Files are for their owner only (0600) where
    the file system knows owners.

    :param directory: of this task instance alone: a :class:`pathlib.Path`, or one that works like it on object storage.
    :param format: ``jsonl`` or ``csv``.
    :param try_number: of this try; only names files. The same number again overwrites nothing.
    :param recipient_of: gives the recipient key of a number, for :meth:`earlier`: 32 hexadecimal digits.
    :param key_column: what the user calls the row's key, such as ``customer_id``; None writes no key.
    :param part_rows: rows after which a part goes to object storage.
    :param part_seconds: seconds after which one with fewer rows goes out at the next :meth:`write`.
    :raises ValueError: when *key_column* is the name of another column, or *format* is neither of the two.
    """

    def __init__(
        self,
        directory: Directory,
        *,
        format: Literal["jsonl", "csv"],
        try_number: int,
        recipient_of: Callable[[str], str],
        key_column: str | None = None,
        part_rows: int = 10_000,
        part_seconds: float = 30.0,
    ) -> None:
        if key_column in COLUMNS:
            raise ValueError(f"the key column cannot be named {key_column!r}: the result rows have one of that name")
        if format not in ("jsonl", "csv"):
            raise ValueError(f"results are written as jsonl or csv, not as {format!r}")
        self._directory = directory
        self._format: RowFormat = (Csv if format == "csv" else JsonLines)(key_column)
        self._try = try_number
        self._recipient_of = recipient_of
        self._limits = (part_rows, part_seconds)
        self._names: _Names | None = None
        self._sent: _Home | None = None
        self._rest: _Home | None = None

    @property
    def location(self) -> str:
        """The directory."""
        return str(self._directory)

    def earlier(self) -> Mapping[str, Outcome]:
        """
        Give the decided rows of earlier tries, by recipient key, in about 30 bytes a row.

        A line that was torn by a crash is cut off where that can be done, and does not count.

        :raises ResultFileError: when a file cannot be read. Nothing may be sent then.
        """
        names = self._begin()
        known = KnownOutcomes()
        for name in names.before:
            path = self._directory / str(name)
            local = _local(path)
            if local is not None:
                _cut_torn_line(local)
            if name.kind == "sent":
                for _, result in _read_file(path, name.format):
                    if result is not None and result.outcome in FINAL_OUTCOMES:
                        known.add(self._recipient_of(result.to), result.outcome)
        return known or {}

    def write(self, results: Sequence[tuple[str | None, Result]]) -> None:
        """
        Write rows.

        :param results: recipient key (not written) and row.
        :raises ResultFileError: when they cannot be written. They are kept, and go out with the next rows or with
            :meth:`close`: do not give them again.
        """
        sent = [result for _, result in results if result.outcome in FINAL_OUTCOMES]
        rest = [result for _, result in results if result.outcome not in FINAL_OUTCOMES]
        if sent:
            self._sent = self._sent or self._home("sent")
            self._sent.add(sent)
        if rest:
            self._rest = self._rest or self._home("rest")
            self._rest.add(rest)
        # Taken both before either is written: a failure loses none.
        _each(home.send for home in (self._sent, self._rest) if home)

    def close(self, whole: bool = True) -> None:
        """
        Make all rows durable, then remove what earlier tries wrote of undecided rows.

        :param whole: False when this try ended without a row for each row of the list: then those of earlier tries are
            left, since they may be all there is of some.
        :raises ResultFileError: when that fails. It may be called again.
        """
        _each(home.close for home in (self._sent, self._rest) if home)
        if not whole:
            return
        mine = self._begin().run
        for name in _list(self._directory):
            if name.kind == "rest" and name.run < mine:
                path = self._directory / str(name)
                try:
                    path.unlink()
                except FileNotFoundError:
                    pass
                except Exception as error:
                    _fail(path, "removed", error)

    def _begin(self) -> _Names:
        if self._names is None:
            before = _list(self._directory)
            run = max((name.run for name in before), default=0) + 1
            # Two processes that begin at the same moment must not meet in one file.
            self._names = _Names(before, run, secrets.token_hex(2))
        return self._names

    def _home(self, kind: str) -> _Home:
        names = self._begin()

        def path_of(part: int) -> Any:
            return self._directory / str(_Name(kind, names.run, names.token, part, self._try, self._format.ending))

        if _local(self._directory) is not None:
            return _LocalFile(path_of, self._format)
        return _Parts(path_of, self._format, self._directory, *self._limits)


def read_results(directory: Directory) -> Iterator[Result]:
    """
    Give the result rows of all tries, each row of the list once: a decided one if there is one, else the newest.

    A line torn by a crash is left out. Memory: nothing after a single try; else one whole number a row.

    :param directory: where :class:`ResultFiles` wrote.
    :raises ResultFileError: when a file cannot be read, or has a line that is no result row and not the last.
    """
    names = _list(directory)
    sent = [name for name in names if name.kind == "sent"]
    newest_first = [name for name in reversed(names) if name.kind == "rest"]
    seen: set[int] | None = set() if len({(name.run, name.token) for name in names}) > 1 else None
    for name in sent + newest_first:
        path = directory / str(name)
        torn = 0
        for line, result in _read_file(path, name.format):
            if torn:
                raise ResultFileError(f"{_shown(path)}: line {torn} is no result row; was the file edited?")
            if result is None:
                torn = line
            elif seen is None:
                yield result
            else:
                # A list that changed between tries has other people at the same positions: they are all given.
                row = hash((result.position, result.to))
                if row not in seen:
                    seen.add(row)
                    yield result


@dataclass(frozen=True, slots=True, order=True)
class _Name:
    """
    The name of a result file; sorts by kind, then age.

    ``run`` counts the processes that wrote here, since try numbers come again when a task is run by hand.
    """

    kind: str
    run: int
    token: str
    part: int
    try_number: int
    format: str

    def __str__(self) -> str:
        return f"{self.kind}-try-{self.try_number}-{self.run:04d}-{self.token}-{self.part:04d}.{self.format}"


@dataclass(frozen=True, slots=True)
class _Names:
    before: Sequence[_Name]
    run: int
    token: str


def _list(directory: Directory) -> list[_Name]:
    names = []
    try:
        if directory.exists():
            for path in directory.iterdir():
                found = _NAME.fullmatch(path.name)
                if found:
                    kind, try_number, run, token, part, ending = found.groups()
                    names.append(_Name(kind, int(run), token, int(part), int(try_number), ending))
    except FileNotFoundError:
        pass
    except Exception as error:
        _fail(directory, "listed", error)
    return sorted(names)


def _local(path: Any) -> Path | None:
    # The protocol first: in older releases of universal-pathlib a path to object storage is a Path, too.
    protocol = getattr(path, "protocol", None)
    if protocol is None:
        return path if isinstance(path, Path) else None
    return Path(path.path) if protocol in ("", "file", "local") else None


def _shown(path: Any) -> str:
    """Give the address of a result file as it may be shown; its own name has digits that are nobody's number."""
    folder, slash, name = str(path).rpartition("/")
    return f"{shown_address(folder)}{slash}{name}" if _NAME.fullmatch(name) else shown_address(path)


def _fail(path: Any, what: str, error: Exception) -> NoReturn:
    said = (error.strerror if isinstance(error, OSError) else None) or str(error)
    reason = scrub(said, secrets_in(path)) or type(error).__name__
    # The library's own text has the whole address in it.
    raise ResultFileError(f"{_shown(path)} cannot be {what}: {reason}") from None


def _read_file(path: Any, format: str) -> Iterator[tuple[int, Result | None]]:
    """Give the number and the row of each line; None for one that is no row."""
    try:
        with path.open("rb") as file:
            lines = io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="\n")
            try:
                yield from read_csv(lines) if format == "csv" else read_json(lines)
            finally:
                lines.detach()
    except Exception as error:
        _fail(path, "read", error)


def _each(calls: Iterable[Callable[[], None]]) -> None:
    """Make all calls, then raise the first error."""
    first: ResultFileError | None = None
    for call in calls:
        try:
            call()
        except ResultFileError as error:
            first = first or error
    if first:
        raise first


# Where rows go


class _Home:
    """Takes the rows of one kind; what could not be written waits for the next time."""

    def __init__(self, path_of: Callable[[int], Any], format: RowFormat) -> None:
        self._path_of = path_of
        self._format = format
        self._part = 1
        self._waiting: list[bytes] = []

    def add(self, results: Sequence[Result]) -> None:
        self._waiting.append(self._format.encode(results))

    def send(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class _LocalFile(_Home):
    _file: int | None = None
    _size = 0

    def send(self) -> None:
        path = self._path_of(self._part)
        try:
            if self._file is None:
                self._file = self._created(_local(path) or path)
            self._append(self._file, b"".join(self._waiting))
        except OSError as error:
            _fail(path, "written", error)
        self._waiting.clear()

    def close(self) -> None:
        if self._waiting:
            self.send()
        if self._file is None:
            return
        file, self._file = self._file, None
        self._part += 1
        try:
            os.fsync(file)
        except OSError as error:
            _fail(self._path_of(self._part - 1), "written", error)
        finally:
            os.close(file)

    def _created(self, path: Path) -> int:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._size = 0
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)

    def _append(self, file: int, data: bytes) -> None:
        if not self._size:
            data = self._format.head + data
        done = 0
        try:
            while done < len(data):
                done += os.write(file, data[done:] if done else data)
        except OSError:
            # A full disk: half a line must not stand before the next one.
            try:
                os.ftruncate(file, self._size)
            except OSError:
                self._file = None
                self._part += 1
                os.close(file)
            raise
        self._size += len(data)


class _Parts(_Home):
    def __init__(
        self,
        path_of: Callable[[int], Any],
        format: RowFormat,
        directory: Directory,
        most_rows: int,
        most_seconds: float,
    ) -> None:
        super().__init__(path_of, format)
        self._directory = directory
        self._most_rows = most_rows
        self._most_seconds = most_seconds
        self._since = 0.0
        self._rows = 0

    def add(self, results: Sequence[Result]) -> None:
        if not self._rows:
            self._since = monotonic()
        super().add(results)
        self._rows += len(results)

    def send(self) -> None:
        if self._rows and (self._rows >= self._most_rows or monotonic() - self._since >= self._most_seconds):
            self.close()

    def close(self) -> None:
        if not self._rows:
            return
        # After a failure the same name again: it may have arrived all the same.
        path = self._path_of(self._part)
        try:
            try:
                self._put(path)
            except FileNotFoundError:
                # Some storages have directories, and most have not.
                self._directory.mkdir(parents=True, exist_ok=True)
                self._put(path)
        except Exception as error:
            _fail(path, "written", error)
        self._part += 1
        self._rows = 0
        self._waiting.clear()

    def _put(self, path: Any) -> None:
        with path.open("wb") as file:
            file.write(b"".join([self._format.head, *self._waiting]))


def _cut_torn_line(path: Path) -> None:
    """
    Make a file that ends in the middle of a line readable for others.

    It may fail: this provider reads the file as it is. An empty file is left: somebody may be about to write to it.
    """
    with suppress(OSError), path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        at = end
        while at:
            start = max(0, at - 65_536)
            file.seek(start)
            newline = file.read(at - start).rfind(b"\n")
            if newline >= 0:
                if start + newline + 1 < end:
                    file.truncate(start + newline + 1)
                return
            at = start
        file.truncate(0)
