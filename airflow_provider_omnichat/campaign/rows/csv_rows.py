"""The rows of CSV; one that cannot be read costs no other."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from operator import itemgetter

from airflow_provider_omnichat.api.reasons import Reason
from airflow_provider_omnichat.campaign.model.names import count_of
from airflow_provider_omnichat.campaign.model.rows import BrokenRow, Row, RowSourceError
from airflow_provider_omnichat.campaign.phone.written import reads_as_number
from airflow_provider_omnichat.campaign.rows.columns import AnyColumns, RowColumns
from airflow_provider_omnichat.campaign.rows.lines import LONGEST_ROW, Lines, RowTooLongError, problem, what_else

_CLOSED_TOO_LATE = "a quote is opened and not closed, or closed too late"


def csv_rows(lines: Lines, name: str, delimiters: str, columns: RowColumns | AnyColumns) -> Iterator[Row | BrokenRow]:
    """Yield the rows after the header; raise RowSourceError without a usable one. *delimiters*: the likeliest first."""
    delimiter = _delimiter(lines, name, delimiters, columns.wanted)
    if delimiter is None:
        raise RowSourceError(f"{name}: is empty; the first line must name the columns")
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    header = _header(lines, reader, name, delimiter)
    found = columns.of_header(header, f"{name}: line {lines.first_line}, the header", ": there is no column")
    names, cells_of = tuple(found), _chooser([header.index(column) for column in found.values()])
    width, least = len(header), 1 + max(index for index, column in enumerate(header) if column)
    position = 0
    while True:
        lines.next_row()
        reason: Reason | None = None
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (csv.Error, RowTooLongError) as error:
            reason = problem(_unreadable(lines, error))
            lines.give_back(1)
        else:
            if not any(cells):
                continue
            if _swallows(lines, cells, delimiter, width):
                reason = problem(_CLOSED_TOO_LATE)
                lines.give_back(1)
            elif len(cells) != width and (len(cells) < least or any(cells[width:])):
                reason = problem("does not have as many cells as the header", f"{len(cells)}, not {width}")
            elif fault := lines.fault:
                reason = problem(fault[1], "" if fault[0] == lines.first_line else f"line {fault[0]}")
        position += 1
        if reason is None:
            yield Row(position, dict(zip(names, cells_of(cells), strict=False)))
        else:
            yield lines.broken_row(position, reason)


def _swallows(lines: Lines, cells: Sequence[str], delimiter: str, width: int) -> bool:
    """Return whether a row contains another person's: a line with as many cells and a phone number."""
    own = next((index for index, cell in enumerate(reversed(cells)) if "\n" in cell or "\r" in cell), 0)
    for line in reversed(lines.taken[1:]):
        found = next(csv.reader([line or ""], delimiter=delimiter), [])
        found, size = found[: len(found) - own], width - own
        # Without the number, any line of a longer text with a comma in it would count as a row.
        if len(found) >= size and not any(found[size:]) and any(reads_as_number(each.strip('"')) for each in found):
            return True
        own = 0  # only the last line has the end of the row itself
    return False


def _chooser(indexes: Sequence[int]) -> Callable[[Sequence[str]], Sequence[str]]:
    if len(indexes) == 1:
        return lambda cells: (cells[indexes[0]],)
    return itemgetter(*indexes) if indexes else lambda _: ()


def _unreadable(lines: Lines, error: Exception) -> str:
    if lines.taken[0] is None:
        return f"is longer than {LONGEST_ROW:,} characters"
    if isinstance(error, RowTooLongError) or "unexpected end" in str(error):
        return "a quote is opened and not closed"
    return "its quotes do not match" if len(lines.taken) == 1 else _CLOSED_TOO_LATE


def _delimiter(lines: Lines, name: str, delimiters: str, wanted: Collection[str]) -> str | None:
    """Return the delimiter, judged by the header, which stays to be read; None for an empty file."""
    try:
        header = next((line for line in lines if line.strip()), None)
    except RowTooLongError:
        raise RowSourceError(
            f"{name}: line {lines.first_line} is longer than {LONGEST_ROW:,} characters, too long for a header of CSV"
        ) from None
    if header is None:
        return None
    what = what_else(header)
    if header.lstrip().startswith(('{"', "{'", "[{", '["')):
        what = "contains JSON; give it a name that ends in .jsonl, with one object on each line"
    if what is not None:
        raise RowSourceError(f"{name}: {what}")
    said = re.fullmatch(r"sep=([,;\t|])\r?\n?", header)
    if said:
        # Written for Excel, which does not count it as a row either.
        return said[1]
    lines.give_back(len(lines.taken) - 1)
    # The one with most of the wanted columns, then the one with most columns.
    headers = {delimiter: next(csv.reader([header], delimiter=delimiter), []) for delimiter in delimiters}
    return max(headers, key=lambda delimiter: (count_of(wanted, headers[delimiter]), len(headers[delimiter])))


def _header(lines: Lines, reader: Iterator[list[str]], name: str, delimiter: str) -> Sequence[str]:
    lines.next_row()
    try:
        columns = [column.strip() for column in next(reader, [])]
    except (csv.Error, RowTooLongError) as error:
        raise RowSourceError(f"{name}: line {lines.first_line}, the header: {_unreadable(lines, error)}") from None
    where = f"{name}: line {lines.first_line}, the header"
    if fault := lines.fault:
        raise RowSourceError(f"{name}: line {fault[0]} {fault[1]}")
    if _swallows(lines, columns, delimiter, len(columns)):
        raise RowSourceError(f"{where}: {_CLOSED_TOO_LATE}")
    if not any(columns):
        raise RowSourceError(f"{where}: is empty; the first line must name the columns")
    for number, column in enumerate(columns, 1):
        if reads_as_number(column):
            raise RowSourceError(
                f"{where}: column {number} is named like a phone number; the first line must name the columns,"
                " else the first person on the list would be left out"
            )
        if column and column in columns[: number - 1]:
            raise RowSourceError(f"{where}: columns {columns.index(column) + 1} and {number} have the same name")
    return columns
