"""The rows of JSON lines: one object on each line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_omnichat.campaign.model.rows import BrokenRow, Row, RowSourceError
from airflow_provider_omnichat.campaign.rows.file_content import what_else
from airflow_provider_omnichat.campaign.rows.lines import LONGEST_ROW, Lines, RowTooLongError


def json_rows(lines: Lines, name: str, ending: str) -> Iterator[Row | BrokenRow]:
    """
    Give the object on each line.

    :param lines: of the file.
    :param name: of the file, as it may be shown.
    :param ending: of its name.
    :raises RowSourceError: when the first line shows that it is no file of JSON lines.
    """
    position = 0
    while True:
        lines.next_row()
        row = None
        try:
            line = next(lines)
        except StopIteration:
            return
        except RowTooLongError:
            problem = f"is longer than {LONGEST_ROW:,} characters"
        else:
            if line.isspace():
                continue
            if position == 0:
                _check_first_line(line, name, ending)
            row, problem = _json_object(line)
            if fault := lines.fault:
                row, problem = None, fault[1]
        position += 1
        yield Row(position, row) if row is not None else BrokenRow(position, f"line {lines.first_line}: {problem}")


def _check_first_line(line: str, name: str, ending: str) -> None:
    """Tell a file that is no JSON lines at all from one with bad rows."""
    what = what_else(line)
    if what is not None:
        raise RowSourceError(f"{name}: {what}")
    if line.strip() in ("[", "{") or (line.lstrip().startswith("[") and ending == ".json"):
        raise RowSourceError(
            f"{name}: is one JSON document over several lines or an array; write JSON lines: one object on each line"
        )


def _json_object(line: str) -> tuple[Mapping[str, Any] | None, str]:
    try:
        found = _DECODER.decode(line)
    except json.JSONDecodeError as error:
        return None, f"is not JSON: {error.msg} at character {error.pos + 1}"
    except (ValueError, RecursionError) as error:
        return None, str(error) if isinstance(error, _NameTwiceError) else "is JSON that no invite would need"
    if not isinstance(found, dict):
        return None, f"must be a JSON object, is a {type(found).__name__}"
    return found, ""


class _NameTwiceError(ValueError):
    pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Python would take the last one and keep silent: with "to" twice that is the wrong person.
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _NameTwiceError("has the same name twice in one object")
    return made


_DECODER = json.JSONDecoder(object_pairs_hook=_object)
