"""The rows of a file, CSV or JSON lines, read as a stream."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

from airflow_provider_omnichat.api.body import NamedTwiceError, object_of
from airflow_provider_omnichat.api.privacy import shown_address
from airflow_provider_omnichat.api.reasons import Reason
from airflow_provider_omnichat.campaign.model.field_values import RoundedFloat
from airflow_provider_omnichat.campaign.model.rows import BrokenRow, Row, RowSourceError
from airflow_provider_omnichat.campaign.rows.columns import AnyColumns, RowColumns
from airflow_provider_omnichat.campaign.rows.csv_rows import csv_rows
from airflow_provider_omnichat.campaign.rows.lines import LONGEST_ROW, Lines, RowTooLongError, problem, what_else

_DELIMITERS = {".csv": ",;\t|", ".tsv": "\t,;|"}
_JSON_LINES = frozenset({".jsonl", ".ndjson", ".json"})

Columns = RowColumns | AnyColumns
_ANY = AnyColumns()


def rows_of_file(
    opened: Callable[[], IO[bytes] | IO[str]], name: str, columns: Columns = _ANY
) -> Iterator[Row | BrokenRow]:
    """See :func:`rows_of_stream`; the file is opened when the first row is read, and closed after the last."""
    _ending(name)

    def rows() -> Iterator[Row | BrokenRow]:
        with opened() as stream:
            yield from rows_of_stream(stream, name, columns)

    return rows()


def rows_of_stream(stream: IO[bytes] | IO[str], name: str, columns: Columns = _ANY) -> Iterator[Row | BrokenRow]:
    """
    Return the rows of an open file; it stays open.

    CSV has a header line; its delimiter is the one of ``, ; tab |`` that gives most of the wanted columns, then most
    columns. Columns without a name, empty lines and lines of nothing but delimiters, as spreadsheets leave them, are
    ignored. JSON lines have one object on each line. Both are UTF-8, with or without a byte order mark.

    Memory does not depend on the length of the file or of its lines. A row that cannot be read becomes a
    :class:`BrokenRow`, and reading continues with the next line; a quote that never closes costs only its own line.

    The ending of *name*, perhaps with ``.gz`` behind it, says how to read it. Rows of CSV have only the columns needed,
    and one with a NUL character is broken; :class:`AnyColumns` takes them as they are. A file that cannot be read as a
    whole is a RowSourceError; an ``OSError`` of the storage is passed on.
    """
    ending, packed = _ending(name)
    shown = shown_address(name)
    rows = _rows_of_stream(stream, shown, ending, packed, columns)
    if ending in _JSON_LINES:
        return iter(columns.with_fields(rows, shown))
    return rows


def _ending(name: str) -> tuple[str, bool]:
    lowered = name.lower()
    packed = lowered.endswith(".gz")
    stem = lowered.removesuffix(".gz")
    for ending in (*_DELIMITERS, *_JSON_LINES):
        if stem.endswith(ending):
            return ending, packed
    raise RowSourceError(
        f"{shown_address(name)}: the name must end in .csv, .tsv, .jsonl, .ndjson or .json (perhaps followed by .gz),"
        " which says how to read it"
    )


def _rows_of_stream(
    stream: IO[bytes] | IO[str], name: str, ending: str, packed: bool, columns: Columns
) -> Iterator[Row | BrokenRow]:
    is_text = isinstance(stream.read(0), str)
    if packed and is_text:
        raise RowSourceError(f"{name}: must be opened as bytes, because it is compressed")
    # newline="": csv needs the line breaks inside quotes as they are.
    decoded: Any = stream
    if not is_text:
        source: Any = stream
        if packed:
            source = gzip.GzipFile(fileobj=source)
        decoded = io.TextIOWrapper(source, encoding="utf-8", errors="surrogateescape", newline="")
    lines = Lines(decoded, takes_nul=columns.takes_nul)
    try:
        if ending in _JSON_LINES:
            yield from _json_rows(lines, name, ending)
        else:
            yield from csv_rows(lines, name, _DELIMITERS[ending], columns)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        # The text of the error may contain the first bytes of the file.
        why = (
            ": it is not compressed with gzip; remove .gz from its name" if isinstance(error, gzip.BadGzipFile) else ""
        )
        raise RowSourceError(f"{name}: the archive is damaged after line {lines.read}{why}") from None
    except UnicodeDecodeError as error:
        raise RowSourceError(f"{name}: is not {error.encoding} after line {lines.read}") from None
    finally:
        if not is_text:
            # Else the wrapper would close the caller's stream when it is garbage-collected.
            decoded.detach()


def _json_rows(lines: Lines, name: str, ending: str) -> Iterator[Row | BrokenRow]:
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


_DECODER = json.JSONDecoder(
    object_pairs_hook=object_of, parse_float=lambda text: RoundedFloat(text) if "e" in text.lower() else float(text)
)
