"""Result rows on a local file system."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from airflow_provider_omnichat.campaign.results.directory import local_path, raise_file_error
from airflow_provider_omnichat.campaign.results.writer import Writer


class LocalFile(Writer):
    """A file to which rows are appended at each write, so that a killed process leaves them."""

    _file: int | None = None
    _size = 0

    def send(self) -> None:
        """Append all that waits."""
        path = self._path_of(self._part)
        try:
            if self._file is None:
                self._file = self._created(local_path(path) or path)
            self._append(self._file, b"".join(self._waiting))
        except OSError as error:
            raise_file_error(path, "written", error)
        self._waiting.clear()

    def close(self) -> None:
        """Append all that waits, and end the file."""
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


def cut_torn_line(path: Path) -> None:
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
