"""How a result row is written as a line of JSON or CSV, and read back."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.campaign.model.rows import Result

COLUMNS = (
    *("to", "outcome", "message_id", "status_group", "status_id", "status_name", "message_count", "attempts"),
    *("reason_code", "error", "at", "row"),
)
"""The columns of a result file; the user's key column comes before them."""

_SAME = tuple(name for name in COLUMNS if name in Result._fields and name != "outcome")
_WHOLE_NUMBERS = frozenset({"status_group", "status_id", "message_count", "attempts", "row"})


class RowFormat:
    """Encodes rows as JSON lines, with null for an unknown value, or as CSV; ``head`` comes before the first row."""

    def __init__(self, ending: Literal["jsonl", "csv"], key_column: str | None) -> None:
        self.ending = ending
        self._with_key = key_column is not None
        columns = COLUMNS if key_column is None else (key_column, *COLUMNS)
        self.head = csv_line(columns).encode(errors="backslashreplace") if ending == "csv" else b""
        # The names are encoded once and not for each row: three times as fast as encoding dicts.
        self._line = "{" + ", ".join(json.dumps(name).replace("%", "%%") + ": %s" for name in columns) + "}\n"

    def encode(self, results: Sequence[Result]) -> bytes:
        with_key, line = self._with_key, self._line
        rows = [(result.key, *_values(result)) if with_key else _values(result) for result in results]
        if self.ending == "csv":
            return "".join(map(csv_line, rows)).encode(errors="backslashreplace")
        try:
            return "".join([line % tuple(map(_json_value, row)) for row in rows]).encode()
        except UnicodeEncodeError:
            # Half a character in a key: as an escape it can be written and read.
            return "".join([line % tuple(map(json.dumps, row)) for row in rows]).encode()


def _values(result: Result) -> tuple[Any, ...]:  # in the order of COLUMNS
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


def _json_value(value: str | int | None) -> str:
    if isinstance(value, str):
        return _quoted(value)
    return "null" if value is None else str(value)


_quoted: Callable[[str], str] = json.encoder.encode_basestring


# A spreadsheet runs a cell that begins like this as a formula, whoever wrote it; a number with a sign is left alone.
_FORMULA = re.compile(r"['\s]*[=+\-@\uff1d\uff0b\uff0d\uff20]")
_SIGNED_NUMBER = re.compile(r"[+-][\d\s().\-/]*")
# Line breaks, and characters that a terminal obeys.
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]+")
# Characters that separate cells for some reader.
_SEPARATES = re.compile(r'[,;|\t"]')


def one_line(text: str) -> str:
    """Return a text without line breaks and control characters."""
    return _CONTROLS.sub(" ", text)


def csv_line(values: Iterable[object]) -> str:
    """Return a line of CSV; None is an empty cell."""
    return ",".join(map(cell, values)) + "\n"


def cell(value: object) -> str:
    """Return a value as a cell on one line; an apostrophe keeps a spreadsheet from running it as a formula."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return str(value)
    if value.isalnum():
        return value
    # One line a row: a torn row can be recognised, and line tools work.
    text = one_line(value)
    if _FORMULA.match(text) and not _SIGNED_NUMBER.fullmatch(text):
        text = "'" + text
    return '"' + text.replace('"', '""') + '"' if _SEPARATES.search(text) else text


def uncell(text: str) -> str:
    """Read a cell that :func:`cell` wrote, without its apostrophe."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text[1:]) else text


def read_lines(lines: Iterable[str], format: str) -> Iterator[tuple[int, Result | None]]:
    """Read the number and the row of each line of a file; None for a line that is not a whole row."""
    columns: list[str] | None = None
    for number, line in enumerate(lines, 1):
        if format == "jsonl":
            yield number, json_row(line)
        elif columns is not None:
            yield number, csv_row(line, columns)
        else:
            columns = csv_columns(line)
            if columns is None:
                yield number, None


def json_row(line: str) -> Result | None:
    """Read a line with its end; None if it is not a whole row."""
    try:
        row = json.loads(line)
        first = next(iter(row))
        return _result(row, None if first in COLUMNS else row[first]) if line.endswith("\n") else None
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration):
        return None


def csv_columns(line: str) -> list[str] | None:
    """Read the names of the columns from the first line with its end; None if it is not whole."""
    try:
        return next(csv.reader([line], strict=True)) if line.endswith("\n") else None
    except (csv.Error, StopIteration):
        return None


def csv_row(line: str, columns: Sequence[str]) -> Result | None:
    """Read a line with its end; None if it is not a whole row."""
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
    code, same = row["reason_code"], {name: row[name] for name in _SAME}
    reason = Reason(ReasonCode(code), row["error"] or "") if code else None
    return Result(row["row"], key, outcome=Outcome(row["outcome"]), reason=reason, **same)
