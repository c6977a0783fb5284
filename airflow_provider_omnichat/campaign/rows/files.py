"""The rows of a file, CSV or JSON lines; read as a stream, and no row lost on the way."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import IO, Any

from airflow_provider_omnichat.api.privacy import shown_address
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.campaign.model.rows import BrokenRow, Row, RowSourceError
from airflow_provider_omnichat.campaign.phone.written import reads_as_number
from airflow_provider_omnichat.campaign.rows.columns import RowColumns
from airflow_provider_omnichat.campaign.rows.file_content import what_else

LONGEST_ROW = 65_536
"""Characters in a row with its line end. Far beyond any invite; it bounds memory where a quote or a line never ends."""

_DELIMITERS = {".csv": ",;\t|", ".tsv": "\t,;|"}
_JSON_LINES = frozenset({".jsonl", ".ndjson", ".json"})
# What bytes that are not UTF-8 become while they are read, so that one bad row does not end the list.
_NOT_UTF8 = re.compile("[\udc80-\udcff]")


def rows_of_file(
    opened: Callable[[], IO[bytes] | IO[str]], name: str, columns: RowColumns | None = None
) -> Iterator[Row | BrokenRow]:
    """
    Give the rows of a file that is opened when the first is asked for, and closed after the last.

    :param opened: opens it for reading, as bytes (or text).
    :param name: of the file; see :func:`rows_of_stream`.
    :param columns: see :func:`rows_of_stream`.
    :raises RowSourceError: see :func:`rows_of_stream`; one for the name comes at once.
    """
    _ending(name)
    return _rows_of_file(opened, name, columns)


def rows_of_stream(
    stream: IO[bytes] | IO[str], name: str, columns: RowColumns | None = None
) -> Iterator[Row | BrokenRow]:
    """
    Give the rows of an open file; it stays open.

    CSV has a header line; its delimiter is the one of ``, ; tab |`` that splits the header into most columns. Quoted
    line breaks are taken. Empty lines, and lines of nothing but delimiters as spreadsheets leave them, are no rows.
    JSON lines have one object on each line. Both are UTF-8, with or without a byte order mark.

    Memory does not depend on the length of the file or of its lines. A row that cannot be read becomes a
    :class:`BrokenRow`, and reading goes on with the next line; a quote that never closes costs its own line only.

    :param stream: opened as bytes (or text).
    :param name: of the file; its ending says how to read it: ``.csv``, ``.tsv``, ``.jsonl``, ``.ndjson`` or ``.json``
        (lines, not an array), each also with ``.gz`` behind. Errors have it as far as it may be shown.
    :param columns: that the rows must have; rows of CSV then have these and no others, and one with a NUL character in
        it is broken. None takes rows as they are.
    :raises RowSourceError: when the file as a whole cannot be read: an unknown ending, no header, a column without a
        name or with that of another, a column that is asked for and not there, a damaged archive. An ``OSError`` of
        the storage is passed on as it is.
    """
    ending, packed = _ending(name)
    shown = shown_address(name)
    rows = _rows_of_stream(stream, shown, ending, packed, columns)
    if ending in _JSON_LINES and columns is not None:
        return iter(columns.fitted(rows, shown))
    return rows


def _ending(name: str) -> tuple[str, bool]:
    lowered = name.lower()
    packed = lowered.endswith(".gz")
    stem = lowered.removesuffix(".gz")
    for ending in (*_DELIMITERS, *_JSON_LINES):
        if stem.endswith(ending):
            return ending, packed
    raise RowSourceError(
        f"{shown_address(name)}: the name must end in .csv, .tsv, .jsonl, .ndjson or .json, so that it is known how to"
        " read it"
        " (each may have .gz behind)"
    )


def _rows_of_file(
    opened: Callable[[], IO[bytes] | IO[str]], name: str, columns: RowColumns | None
) -> Iterator[Row | BrokenRow]:
    with opened() as stream:
        yield from rows_of_stream(stream, name, columns)


def _rows_of_stream(
    stream: IO[bytes] | IO[str], name: str, ending: str, packed: bool, columns: RowColumns | None
) -> Iterator[Row | BrokenRow]:
    is_text = isinstance(stream.read(0), str)
    if packed and is_text:
        raise RowSourceError(f"{name}: must be opened as bytes, because it is packed")
    # newline="": csv wants the line breaks inside quotes as they are.
    decoded: Any = stream
    if not is_text:
        source: Any = stream
        if packed:
            source = gzip.GzipFile(fileobj=source)
        decoded = io.TextIOWrapper(source, encoding="utf-8", errors="surrogateescape", newline="")
    lines = _Lines(decoded, takes_nul=columns is None)
    try:
        if ending in _JSON_LINES:
            yield from _json_rows(lines, name, ending)
        else:
            yield from _csv_rows(lines, name, _DELIMITERS[ending], columns)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        # The text of the error may have the first bytes of the file in it.
        why = ": it is not packed with gzip; take .gz off its name" if isinstance(error, gzip.BadGzipFile) else ""
        raise RowSourceError(f"{name}: the archive is damaged after line {lines.read}{why}") from None
    except UnicodeDecodeError as error:
        raise RowSourceError(f"{name}: is not {error.encoding} after line {lines.read}") from None
    finally:
        if not is_text:
            # Else the wrapper would close the caller's stream as soon as it is forgotten.
            decoded.detach()


class _RowTooLongError(Exception):
    pass


class _Lines:
    """
    The lines of a stream for a parser that takes several for a row, and may have to give all but the first back.

    A line beyond :data:`LONGEST_ROW` stands as None and is never held as a whole.
    """

    def __init__(self, stream: IO[str], takes_nul: bool) -> None:
        self._stream = stream
        self._takes_nul = takes_nul
        self._again: deque[str | None] = deque()
        self.taken: list[str | None] = []
        self._size = 0
        self.read = 0
        """Lines taken from the stream so far."""

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._next_of_stream()
        self.taken.append(line)
        self._size += LONGEST_ROW + 1 if line is None else len(line)
        if line is None or self._size > LONGEST_ROW:
            raise _RowTooLongError
        return line

    def next_row(self) -> None:
        self.taken = []
        self._size = 0

    def give_back(self, all_but: int) -> None:
        """Forget that lines were taken for this row, but for the first *all_but*."""
        self._again.extendleft(reversed(self.taken[all_but:]))
        del self.taken[all_but:]

    @property
    def first_line(self) -> int:
        """The number, from 1, of the first line of this row."""
        return self.read - len(self._again) - len(self.taken) + 1

    @property
    def fault(self) -> tuple[int, str] | None:
        """The number of the first line of this row whose characters cannot be right, and what is wrong with it."""
        for index, line in enumerate(self.taken):
            if line is None:
                continue
            if "\x00" in line and not self._takes_nul:
                return self.first_line + index, "has a NUL character in it; mend what has written the file"
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


def _csv_rows(lines: _Lines, name: str, delimiters: str, columns: RowColumns | None) -> Iterator[Row | BrokenRow]:
    delimiter = _delimiter(lines, name, delimiters)
    if delimiter is None:
        raise RowSourceError(f"{name}: is empty; the first line must name the columns")
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    header = _header(lines, reader, name)
    width = len(header)
    names: Sequence[str] = header
    cells_of: Callable[[Sequence[str]], Sequence[str]] = _all_cells
    if columns is not None:
        found = columns.of_header(header, f"{name}: line {lines.first_line}, the header", ": there is no column")
        names, cells_of = tuple(found), _chooser([header.index(column) for column in found.values()])
    position = 0
    while True:
        lines.next_row()
        reason: Reason | None = None
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (csv.Error, _RowTooLongError) as error:
            reason = _problem(_unreadable(lines, error))
            lines.give_back(1)
        else:
            if not any(cells):
                continue
            if len(cells) != width and (len(cells) < width or any(cells[width:])):
                reason = _problem("does not have as many cells as the header", f"{len(cells)}, not {width}")
            elif fault := lines.fault:
                reason = _problem(fault[1], _which(lines, fault[0]))
        position += 1
        if reason is None:
            yield Row(position, dict(zip(names, cells_of(cells), strict=False)))
        else:
            yield _broken(position, lines, reason)


def _chooser(places: Sequence[int]) -> Callable[[Sequence[str]], Sequence[str]]:
    """Give what takes the cells at some places out of a row."""
    if len(places) == 1:
        return lambda cells: (cells[places[0]],)
    return itemgetter(*places) if places else lambda _: ()


def _all_cells(cells: Sequence[str]) -> Sequence[str]:
    return cells


def _unreadable(lines: _Lines, error: Exception) -> str:
    if lines.taken[0] is None:
        return f"is longer than {LONGEST_ROW:,} characters"
    if isinstance(error, _RowTooLongError) or "unexpected end" in str(error):
        return "a quote is opened and not closed"
    return (
        "its quotes do not match" if len(lines.taken) == 1 else "a quote is opened and not closed, or closed too late"
    )


def _which(lines: _Lines, line: int) -> str:
    return "" if line == lines.first_line else f"line {line}"


def _problem(text: str, detail: str = "") -> Reason:
    return Reason(ReasonCode.ROW_UNREADABLE, text, detail=detail)


def _broken(position: int, lines: _Lines, problem: Reason) -> BrokenRow:
    return BrokenRow(position, problem._replace(subject=f"line {lines.first_line}:"))


def _delimiter(lines: _Lines, name: str, delimiters: str) -> str | None:
    """Find the delimiter by the header, which is left to be read."""
    try:
        header = next((line for line in lines if line.strip()), None)
    except _RowTooLongError:
        raise RowSourceError(
            f"{name}: line {lines.first_line} is longer than {LONGEST_ROW:,} characters, which is no header of CSV"
        ) from None
    if header is None:
        return None
    what = what_else(header)
    if header.lstrip().startswith(('{"', "{'", "[{", '["')):
        what = "has JSON in it; give it a name that ends in .jsonl, with one object on each line"
    if what is not None:
        raise RowSourceError(f"{name}: {what}")
    said = re.fullmatch(r"sep=([,;\t|])\r?\n?", header)
    if said:
        # For Excel, which takes it for no row either.
        return said[1]
    lines.give_back(len(lines.taken) - 1)
    return max(delimiters, key=lambda delimiter: len(next(csv.reader([header], delimiter=delimiter), [])))


def _header(lines: _Lines, reader: Iterator[list[str]], name: str) -> Sequence[str]:
    lines.next_row()
    try:
        columns = [column.strip() for column in next(reader, [])]
    except (csv.Error, _RowTooLongError) as error:
        raise RowSourceError(f"{name}: line {lines.first_line}, the header: {_unreadable(lines, error)}") from None
    where = f"{name}: line {lines.first_line}, the header"
    if fault := lines.fault:
        raise RowSourceError(f"{name}: line {fault[0]} {fault[1]}")
    if not any(columns):
        raise RowSourceError(f"{where}: is empty; the first line must name the columns")
    for number, column in enumerate(columns, 1):
        if not column:
            raise RowSourceError(f"{where}: column {number} has no name")
        if reads_as_number(column):
            raise RowSourceError(
                f"{where}: column {number} is named like a phone number; the first line must name the columns,"
                " else the first person on the list would be left out"
            )
        if column in columns[: number - 1]:
            raise RowSourceError(f"{where}: columns {columns.index(column) + 1} and {number} have the same name")
    return columns


def _json_rows(lines: _Lines, name: str, ending: str) -> Iterator[Row | BrokenRow]:
    position = 0
    while True:
        lines.next_row()
        try:
            line = next(lines)
        except StopIteration:
            return
        except _RowTooLongError:
            found: Mapping[str, Any] | Reason = _problem(f"is longer than {LONGEST_ROW:,} characters")
        else:
            if line.isspace():
                continue
            if position == 0:
                _check_first_line(line, name, ending)
            fault = lines.fault
            found = _problem(fault[1]) if fault else _json_object(line)
        position += 1
        yield _broken(position, lines, found) if isinstance(found, Reason) else Row(position, found)


def _check_first_line(line: str, name: str, ending: str) -> None:
    """Tell a file that is no JSON lines at all from one with bad rows."""
    what = what_else(line)
    if what is not None:
        raise RowSourceError(f"{name}: {what}")
    if line.strip() in ("[", "{") or (line.lstrip().startswith("[") and ending == ".json"):
        raise RowSourceError(
            f"{name}: is one JSON document over several lines or an array; write JSON lines: one object on each line"
        )


def _json_object(line: str) -> Mapping[str, Any] | Reason:
    try:
        found = _DECODER.decode(line)
    except json.JSONDecodeError as error:
        return _problem(f"is not JSON: {error.msg}", f"character {error.pos + 1}")
    except _NameTwiceError:
        return _problem("has the same name twice in one object")
    except (ValueError, RecursionError):
        return _problem("is JSON that no invite would need")
    if not isinstance(found, dict):
        return _problem(f"must be a JSON object, is a {type(found).__name__}")
    return found


class _NameTwiceError(ValueError):
    pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Python would take the last one and keep silent: with "to" twice that is the wrong person.
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _NameTwiceError
    return made


_DECODER = json.JSONDecoder(object_pairs_hook=_object)
