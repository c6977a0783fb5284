"""Writers of result files: one appends to a local file, one sends whole files to object storage."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

from airflow_provider_omnichat.campaign.model.rows import Result
from airflow_provider_omnichat.campaign.results.directory import local_path, put_file, raise_file_error
from airflow_provider_omnichat.campaign.results.format import RowFormat


class Writer:
    """Takes rows; those that could not be written wait for the next time."""

    def __init__(self, path_of: Callable[[int], Any], format: RowFormat) -> None:
        self._path_of = path_of
        self._format = format
        self._part = 1
        self._waiting: list[bytes] = []

    def add(self, results: Sequence[Result]) -> None:
        """Take rows, to be written by the next :meth:`send` that does not fail."""
        self._waiting.append(self._format.encode(results))

    def send(self) -> None:
        """Write the waiting rows, once there are enough."""
        raise NotImplementedError

    def close(self) -> None:
        """Write all waiting rows and make them durable; may be called again."""
        raise NotImplementedError


class LocalFile(Writer):
    """A file to which rows are appended at each write, so that a killed process leaves them."""

    _file: int | None = None
    _size = 0

    def send(self) -> None:
        """See :class:`Writer`; any number of rows is enough."""
        path = self._path_of(self._part)
        try:
            if self._file is None:
                local: Path = local_path(path) or path
                local.parent.mkdir(parents=True, exist_ok=True)
                self._size = 0
                self._file = os.open(local, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            self._append(self._file, b"".join(self._waiting))
        except OSError as error:
            raise_file_error(path, "written", error)
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
            raise_file_error(self._path_of(self._part - 1), "written", error)
        finally:
            os.close(file)

    def _append(self, file: int, data: bytes) -> None:
        if not self._size:
            data = self._format.head + data
        done = 0
        try:
            while done < len(data):
                done += os.write(file, data[done:] if done else data)
        except OSError:
            # A full disk: half a line must not come before the next one.
            try:
                os.ftruncate(file, self._size)
            except OSError:
                self._file = None
                self._part += 1
                os.close(file)
            raise
        self._size += len(data)


class ObjectParts(Writer):
    """Parts that are each sent as a whole: on object storage, a file appears only when it is complete."""

    def __init__(self, path_of: Callable[[int], Any], format: RowFormat, part_rows: int, part_seconds: float) -> None:
        super().__init__(path_of, format)
        self._part_rows = part_rows
        self._part_seconds = part_seconds
        self._since = 0.0
        self._rows = 0

    def add(self, results: Sequence[Result]) -> None:
        if not self._rows:
            self._since = monotonic()
        super().add(results)
        self._rows += len(results)

    def send(self) -> None:
        """See :class:`Writer`; a part is also sent when its first row has waited long enough."""
        if self._rows and (self._rows >= self._part_rows or monotonic() - self._since >= self._part_seconds):
            self.close()

    def close(self) -> None:
        if not self._rows:
            return
        # After a failure under the same name again: the part may have arrived all the same.
        path = self._path_of(self._part)
        try:
            put_file(path, b"".join([self._format.head, *self._waiting]))
        except Exception as error:
            raise_file_error(path, "written", error)
        self._part += 1
        self._rows = 0
        self._waiting.clear()


def cut_torn_line(path: Path) -> None:
    """Cut off the last line of a file if a crash has torn it, so that other tools can read the file."""
    # It may fail: this provider reads the file as it is. An empty file is left: somebody may be about to write to it.
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
