"""A list copied to local disk, so that its source does not have to wait while it is sent."""

from __future__ import annotations

import os
import pickle
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import IO, Any, TypeVar

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.campaign.model.rows import BrokenRow, Row

T = TypeVar("T")

# Why: sending takes minutes to hours. A cursor that is open so long keeps a transaction open in PostgreSQL, which then
# cannot clean up, and MySQL ends a result that is read slowly.
_BLOCK_ROWS = 1000
_SIZE_BYTES = 8


class SpoolError(OmnichatError):
    """A list cannot be copied to this worker's disk, or read back; the text says where and what to do."""


class Unfit:
    """Replaces a value that cannot be pickled; its class has the name of the value's class, for errors about it."""

    def __str__(self) -> str:
        return f"<{type(self).__name__}>"


class Spool:
    """
    Rows on local disk, in an unnamed file: nobody else can open it, and it disappears with the process.

    *rows* are read to the end at once, then closed if they can be. Each iteration reads them from the first; iterations
    are independent and may run in other threads. Memory does not grow with the list. After a :class:`SpoolError`,
    nothing is left on the disk.
    """

    def __init__(self, rows: Iterable[Row | BrokenRow]) -> None:
        self._count = 0
        # Unnamed if the system can do that, else unlinked at once; for its owner only.
        self._file = self._or_spool_error(lambda: tempfile.TemporaryFile(prefix="omnichat-"))  # noqa: SIM115 - see close()
        self._close = weakref.finalize(self, _close, self._file)
        try:
            self._drain(rows)
        except BaseException:
            self.close()
            raise
        finally:
            if isinstance(rows, Iterator) and hasattr(rows, "close"):
                rows.close()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Row | BrokenRow]:
        # A duplicate: if the spool is closed now, this must not read another file under the same descriptor.
        file = os.dup(self._file.fileno())
        try:
            yield from _read(file)
        finally:
            os.close(file)

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the disk space; a running iteration can still be read to its end."""
        self._close()

    def _drain(self, rows: Iterable[Row | BrokenRow]) -> None:
        block: list[tuple[Any, ...]] = []
        # One object for all rows with the same fields: pickle writes it once a block.
        shapes: dict[tuple[str, ...], tuple[str, ...]] = {}
        for row in rows:
            if isinstance(row, BrokenRow):
                block.append((row.position, None, row.reason))
            else:
                names, values = tuple(row.fields), tuple(row.fields.values())
                block.append((row.position, shapes.setdefault(names, names), values))
            self._count += 1
            if len(block) == _BLOCK_ROWS:
                self._write(block)
                block, shapes = [], {}
        if block:
            self._write(block)
        self._or_spool_error(self._file.flush)

    def _write(self, block: list[tuple[Any, ...]]) -> None:
        packed = _packed(block)
        self._or_spool_error(lambda: self._file.write(len(packed).to_bytes(_SIZE_BYTES, "big") + packed))

    def _or_spool_error(self, attempt: Callable[[], T]) -> T:
        try:
            return attempt()
        except OSError as error:
            raise SpoolError(
                f"The list cannot be copied to {_folder()} ({error.strerror or type(error).__name__}, after"
                f" {self._count:,} rows); nothing was sent. Free space there, or set TMPDIR to another disk"
            ) from error


def _close(file: IO[bytes]) -> None:
    with suppress(OSError):  # a full disk was reported when it was written to
        file.close()


def _folder() -> str:
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:  # none of the usual ones is writable
        return "a temporary directory"


def _packed(block: list[tuple[Any, ...]]) -> bytes:
    try:
        return pickle.dumps(block, pickle.HIGHEST_PROTOCOL)
    except Exception:  # a driver's object that cannot be pickled may raise anything
        fit = [
            (position, names, values if names is None else tuple(map(_fit, values)))
            for position, names, values in block
        ]
        return pickle.dumps(fit, pickle.HIGHEST_PROTOCOL)


def _fit(value: Any) -> Any:
    if isinstance(value, memoryview):  # bytes, as psycopg2 gives them
        return bytes(value)
    try:
        # There and back: some objects can be pickled, and then not unpickled.
        pickle.loads(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))  # noqa: S301 - made here, one line before
    except Exception:  # as above
        return _UnfitAs(type(value).__name__)
    return value


class _UnfitAs:
    """Pickles as a class name, unpickles as an :class:`Unfit` of that name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return _unfit, (self._name,)


def _unfit(name: str) -> Unfit:
    made: Unfit = type(name, (Unfit,), {})()
    return made


def _read(file: int) -> Iterator[Row | BrokenRow]:
    at = 0
    while head := _bytes_at(file, at, _SIZE_BYTES):
        size = int.from_bytes(head, "big")
        for position, names, values in _unpacked(_bytes_at(file, at + _SIZE_BYTES, size)):
            if names is None:
                yield BrokenRow(position, values)
            else:
                yield Row(position, dict(zip(names, values, strict=True)))
        at += _SIZE_BYTES + size


def _bytes_at(file: int, at: int, size: int) -> bytes:
    """Read without moving the position that all descriptors of a file share."""
    pieces = []
    try:
        while size and (piece := os.pread(file, size, at)):
            pieces.append(piece)
            at, size = at + len(piece), size - len(piece)
    except OSError as error:
        raise SpoolError(
            f"The list cannot be read back from {_folder()} ({error.strerror or type(error).__name__})"
        ) from error
    return b"".join(pieces)


def _unpacked(packed: bytes) -> list[tuple[Any, ...]]:
    try:
        block: list[tuple[Any, ...]] = pickle.loads(packed)  # noqa: S301 - a file without a name, written by this process
    except Exception as error:  # an object may raise anything while it is unpickled
        raise SpoolError(
            f"The list has a value that cannot be read back from this worker's disk ({type(error).__name__}); cast it"
            " to a text, a number or a date in the query"
        ) from None
    return block
