"""How a result row is written as a line of JSON or CSV, and read back."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.campaign.model.rows import Result

COLUMNS = (
    "to",
    "outcome",
    "message_id",
    "status_group",
    "status_id",
    "status_name",
    "message_count",
    "attempts",
    "reason_code",
    "error",
    "at",
    "row",
)
"""The columns of a result file; the user's key column stands before them."""

_WHOLE_NUMBERS = frozenset({"status_group", "status_id", "message_count", "attempts", "row"})


class RowFormat(Protocol):
    """Writes rows; ``head`` stands before the first of a file."""

    ending: str
    head: bytes

    def __init__(self, key_column: str | None) -> None: ...
    def encode(self, results: Sequence[Result]) -> bytes:
        """Give the lines of rows."""


def _values(result: Result) -> tuple[Any, ...]:
    """Give the values in the order of COLUMNS."""
    reason = result.reason
    return (
        result.to,
        result.outcome.value,
        result.message_id,
        result.status_group,
        result.status_id,
        result.status_name,
        result.message_count,
        result.attempts,
        None if reason is None else reason.code.value,
        None if reason is None else str(reason),
        result.at,
        result.position,
    )


class JsonLines:
    """One JSON object a line; what is not known is null."""

    ending = "jsonl"
    head = b""

    def __init__(self, key_column: str | None) -> None:
        self._with_key = key_column is not None
        columns = COLUMNS if key_column is None else (key_column, *COLUMNS)
        # The names are written once and not for each row: three times as fast as an encoder that is given dicts.
        self._line = "{" + ", ".join(json.dumps(name).replace("%", "%%") + ": %s" for name in columns) + "}\n"

    def encode(self, results: Sequence[Result]) -> bytes:
        """See :class:`RowFormat`."""
        line, with_key = self._line, self._with_key
        rows = [(result.key, *_values(result)) if with_key else _values(result) for result in results]
        try:
            return "".join([line % tuple(map(_json_value, row)) for row in rows]).encode()
        except UnicodeEncodeError:
            # Half a character in somebody's key: as an escape it can be written and read.
            return "".join([line % tuple(map(json.dumps, row)) for row in rows]).encode()


def _json_value(value: str | int | None) -> str:
    if isinstance(value, str):
        return _quoted(value)
    return "null" if value is None else str(value)


_quoted: Callable[[str], str] = json.encoder.encode_basestring


class Csv:
    """
    CSV with a header line; what is not known is empty.

    A line break or control character in a cell becomes a space, and a text that a spreadsheet would take for a formula
    gets an apostrophe before it.
    """

    ending = "csv"

    def __init__(self, key_column: str | None) -> None:
        self._with_key = key_column is not None
        columns = COLUMNS if key_column is None else (key_column, *COLUMNS)
        self.head = csv_line(columns).encode(errors="backslashreplace")

    def encode(self, results: Sequence[Result]) -> bytes:
        """See :class:`RowFormat`."""
        lines = []
        for result in results:
            values = (result.key, *_values(result)) if self._with_key else _values(result)
            lines.append(csv_line(values))
        return "".join(lines).encode(errors="backslashreplace")


# A spreadsheet takes a cell that begins like this for a formula, whoever wrote it; a number with a sign is left alone.
_FORMULA = re.compile(r"['\s]*[=+\-@\uff1d\uff0b\uff0d\uff20]")
_SIGNED_NUMBER = re.compile(r"[+-][\d\s().\-/]*")
# Line breaks, and what a terminal would obey.
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]+")
# What separates cells for some reader, whatever separates them here.
_SEPARATES = re.compile(r'[,;|\t"]')


def one_line(text: str) -> str:
    """Return a text without line breaks and control characters."""
    return _CONTROLS.sub(" ", text)


def csv_line(values: Iterable[object]) -> str:
    """Return a line of CSV; None is an empty cell."""
    return ",".join(map(cell, values)) + "\n"


def cell(value: object) -> str:
    """Return a value as a cell: on one line, and nothing that a spreadsheet would take for a formula."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return str(value)
    if value.isalnum():
        return value
    # One line a row: what is torn can be told from what is not, and line tools work.
    text = one_line(value)
    if _FORMULA.match(text) and not _SIGNED_NUMBER.fullmatch(text):
        text = "'" + text
    return '"' + text.replace('"', '""') + '"' if _SEPARATES.search(text) else text


def uncell(text: str) -> str:
    """Read a cell, without the apostrophe that :func:`cell` has put before what looks like a formula."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text[1:]) else text


def read_json(lines: Iterable[str]) -> Iterator[tuple[int, Result | None]]:
    """Give the number and the row of each line that :class:`JsonLines` wrote; None for one that is no whole row."""
    for number, line in enumerate(lines, 1):
        yield number, json_row(line)


def json_row(line: str) -> Result | None:
    """
    Read a line that :class:`JsonLines` wrote.

    :param line: with its end.
    :return: the row; None for a line that is no whole row.
    """
    try:
        row = json.loads(line)
        first = next(iter(row))
        return _result(row, None if first in COLUMNS else row[first]) if line.endswith("\n") else None
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration):
        return None


def read_csv(lines: Iterable[str]) -> Iterator[tuple[int, Result | None]]:
    """Give the number and the row of each line that :class:`Csv` wrote; None for one that is no whole row."""
    columns: list[str] | None = None
    for number, line in enumerate(lines, 1):
        if columns is not None:
            yield number, csv_row(line, columns)
        else:
            columns = csv_columns(line)
            if columns is None:
                yield number, None


def csv_columns(line: str) -> list[str] | None:
    """
    Read the first line of a file that :class:`Csv` wrote.

    :param line: with its end.
    :return: the names of the columns; None for a line that is not whole.
    """
    try:
        return next(csv.reader([line], strict=True)) if line.endswith("\n") else None
    except (csv.Error, StopIteration):
        return None


def csv_row(line: str, columns: Sequence[str]) -> Result | None:
    """
    Read a line that :class:`Csv` wrote.

    :param line: with its end.
    :param columns: of the file.
    :return: the row; None for a line that is no whole row.
    """
    try:
        cells = next(csv.reader([line], strict=True))
        row: dict[str, Any] = {
            name: (int(cell) if name in _WHOLE_NUMBERS else uncell(cell)) if cell else None
            for name, cell in zip(columns, cells, strict=True)
        }
        row["to"] = row["to"] or ""
        return _result(row, None if columns[0] in COLUMNS else row[columns[0]]) if line.endswith("\n") else None
    except (csv.Error, ValueError, KeyError, StopIteration):
        return None


def _result(row: Mapping[str, Any], key: str | None) -> Result:
    code = row["reason_code"]
    return Result(
        position=row["row"],
        key=key,
        to=row["to"],
        outcome=Outcome(row["outcome"]),
        at=row["at"],
        message_id=row["message_id"],
        status_id=row["status_id"],
        status_group=row["status_group"],
        status_name=row["status_name"],
        message_count=row["message_count"],
        attempts=row["attempts"],
        reason=Reason(ReasonCode(code), row["error"] or "") if code else None,
    )
