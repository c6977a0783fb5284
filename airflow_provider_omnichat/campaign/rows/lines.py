"""The lines of a file, bounded in length, and what the first one reveals about a file of another kind."""

from __future__ import annotations

import re
from collections import deque
from typing import IO

from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.campaign.model.rows import BrokenRow

# Characters in a row with its line end. Far beyond any invite; it bounds memory if a quote or a line never ends.
LONGEST_ROW = 65_536
# Bytes that are not UTF-8 are decoded to these, so that one bad row does not end the list.
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
_AS_BYTES = {
    b"\x1f\x8b": "is compressed with gzip; give it a name that ends in .gz",
    b"PK\x03\x04": "is an Excel workbook or another zip archive; export the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "is an old Excel workbook; export the sheet as CSV",
    b"PAR1": "is a Parquet file; write CSV or JSON lines",
    b"Obj\x01": "is an Avro file; write CSV or JSON lines",
    b"ORC": "is an ORC file; write CSV or JSON lines",
    b"ARROW1": "is an Arrow file; write CSV or JSON lines",
    b"BZh": "is compressed with bzip2; only gzip is read",
    b"\xfd7zXZ": "is compressed with xz; only gzip is read",
    b"(\xb5/\xfd": "is compressed with Zstandard; only gzip is read",
    b"SQLite format 3": "is an SQLite database; give a query",
    b"%PDF-": "is a PDF",
    b"{\\rtf": "is a text document (RTF); save it as CSV",
}
_PAGES = (b"<!doctype", b"<html", b"<?xml", b"<error")
_UTF32_MARKS = (b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def problem(text: str, detail: str = "") -> Reason:
    """Build the reason of a row that cannot be read."""
    return Reason(ReasonCode.ROW_UNREADABLE, text, detail=detail)


class RowTooLongError(Exception):
    """A row is longer than :data:`LONGEST_ROW`."""


class Lines:
    """
    The lines of a stream, for a parser that reads several as one row and may have to give back all but the first.

    A line beyond :data:`LONGEST_ROW` becomes None and is never in memory as a whole.
    """

    def __init__(self, stream: IO[str], takes_nul: bool) -> None:
        self._stream = stream
        self._takes_nul = takes_nul
        self._again: deque[str | None] = deque()
        self.taken: list[str | None] = []
        self._size = 0
        self.read = 0  # lines, from the stream

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._next_of_stream()
        self.taken.append(line)
        self._size += LONGEST_ROW + 1 if line is None else len(line)
        if line is None or self._size > LONGEST_ROW:
            raise RowTooLongError
        return line

    def next_row(self) -> None:
        self.taken = []
        self._size = 0

    def give_back(self, all_but: int) -> None:
        """Return all lines of this row but the first *all_but*, to be read again."""
        self._again.extendleft(reversed(self.taken[all_but:]))
        del self.taken[all_but:]

    @property
    def first_line(self) -> int:
        return self.read - len(self._again) - len(self.taken) + 1

    def broken_row(self, position: int, problem: Reason) -> BrokenRow:
        """Return this row as one that cannot be read, with the number of its first line."""
        return BrokenRow(position, problem._replace(subject=f"line {self.first_line}:"))

    @property
    def fault(self) -> tuple[int, str] | None:
        """The first line of this row with impossible characters, by number, and what is wrong with it."""
        for index, line in enumerate(self.taken):
            if line is None:
                continue
            if "\x00" in line and not self._takes_nul:
                return self.first_line + index, "has a NUL character in it; correct the program that wrote the file"
            if not line.isascii() and _NOT_UTF8.search(line):
                return self.first_line + index, "is not UTF-8; save the file as UTF-8"
        return None

    def _next_of_stream(self) -> str | None:
        line = self._stream.readline(LONGEST_ROW + 1)
        if not line:
            raise StopIteration
        self.read += 1
        if self.read == 1:
            line = line.removeprefix("\ufeff")
        if len(line) <= LONGEST_ROW:
            return line
        while line and not line.endswith(("\n", "\r")):
            line = self._stream.readline(LONGEST_ROW)
        return None


def what_else(first_line: str) -> str | None:
    """Return what a file is instead of CSV or JSON lines in UTF-8, and what to do; None if that is not evident."""
    line = first_line.encode("utf-8", "surrogateescape")
    for beginning, what in _AS_BYTES.items():
        if line.startswith(beginning):
            return what
    if line.lstrip().lower().startswith(_PAGES):
        return "is a web page or XML; check whether the address returns the list or an error"
    encoding = _encoding(line)
    return f"is {encoding}; save the file as UTF-8" if encoding else None


def _encoding(line: bytes) -> str | None:
    if line.startswith(_UTF32_MARKS):
        return "UTF-32"
    if line.startswith(_UTF16_MARKS):
        return "UTF-16"
    zeros = [index for index, byte in enumerate(line) if not byte]
    # Of two or four bytes, a plain letter has one that is not zero; the line break at the end is cut in half.
    if len(zeros) < 2:
        return None
    if len(zeros) > 0.6 * len(line):
        return "UTF-32 without a byte order mark"
    if len({index % 2 for index in zeros}) == 1 and 4 * len(zeros) >= len(line):
        return "UTF-16 without a byte order mark"
    return None
