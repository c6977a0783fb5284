"""The rows of JSON lines: one object on each line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_omnichat.api.body import NamedTwiceError, object_of
from airflow_provider_omnichat.api.reasons import Reason
from airflow_provider_omnichat.campaign.model.field_values import RoundedFloat
from airflow_provider_omnichat.campaign.model.rows import BrokenRow, Row, RowSourceError
from airflow_provider_omnichat.campaign.rows.lines import LONGEST_ROW, Lines, RowTooLongError, problem, what_else


def json_rows(lines: Lines, name: str, ending: str) -> Iterator[Row | BrokenRow]:
    """Yield the object on each line; raise RowSourceError if the first line shows that these are not JSON lines."""
    position = 0
    while True:
        lines.next_row()
        try:
            line = next(lines)
        except StopIteration:
            return
        except RowTooLongError:
            found: Mapping[str, Any] | Reason = problem(f"is longer than {LONGEST_ROW:,} characters")
        else:
            if line.isspace():
                continue
            if position == 0:
                _check_first_line(line, name, ending)
            fault = lines.fault
            found = problem(fault[1]) if fault else _json_object(line)
        position += 1
        yield lines.broken_row(position, found) if isinstance(found, Reason) else Row(position, found)


def _check_first_line(line: str, name: str, ending: str) -> None:
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
        return problem(f"is not JSON: {error.msg}", f"character {error.pos + 1}")
    except NamedTwiceError:  # with "to" twice, one of them is the wrong person
        return problem("has the same name twice in one object")
    except (ValueError, RecursionError):
        return problem("is JSON too large or too deep for an invite")
    if not isinstance(found, dict):
        return problem(f"must be a JSON object, is a {type(found).__name__}")
    return found


def _float(text: str) -> float:
    return RoundedFloat(text) if "e" in text.lower() else float(text)


_DECODER = json.JSONDecoder(object_pairs_hook=object_of, parse_float=_float)
