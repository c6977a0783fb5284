"""Result files, a page at a time: a million rows are not read for the first fifty."""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from time import monotonic
from typing import Any

from airflow_provider_omnichat.campaign.model.pages import Order, Page, PageError, PageQuery, ShownRow
from airflow_provider_omnichat.campaign.model.place import DECIDED
from airflow_provider_omnichat.campaign.model.rows import Result
from airflow_provider_omnichat.campaign.results.directory import (
    Directory,
    FileName,
    ResultFileError,
    file_name,
    file_names,
    raise_file_error,
)
from airflow_provider_omnichat.campaign.results.format import csv_columns, csv_row, json_row
from airflow_provider_omnichat.campaign.sql.values import clean

_MOST_SORTED_BYTES = 40_000_000
_PAGE_SECONDS = 2.0
_ROWS_BETWEEN_LOOKS_AT_THE_CLOCK = 500

_SORTED = "sorted"
_KEYS: dict[Order, Callable[[ShownRow], Any]] = {
    "key": lambda row: (row.key is None, row.key or "", row.position or 0),
    "outcome": lambda row: (row.outcome, row.position or 0),
    "time": lambda row: (row.at.timestamp() if row.at else 0.0, row.position or 0),
}


def can_be_sorted(directory: Directory) -> bool:
    """Return whether the files are small enough: sorting more would keep the server busy for too long."""
    try:
        sizes: list[int] = [(directory / str(name)).stat().st_size for name in _names(directory)]
    except (OSError, ResultFileError):
        return False
    return sum(sizes) <= _MOST_SORTED_BYTES


def page_of(directory: Directory, query: PageQuery) -> Page:
    """Read a page; one that is not full after two seconds is returned as it is."""
    try:
        names = _names(directory)
        if query.order == "list":
            return _next(directory, names, query)
        if not can_be_sorted(directory):
            raise PageError(
                "So many rows of files cannot be sorted here. Filter them instead, or let the rows go to a"
                " database: results_table, or ledger_conn_id"
            )
        return _sorted(directory, names, query)
    except ResultFileError as error:
        raise PageError(str(error)) from None


def _names(directory: Directory) -> list[FileName]:
    return sorted(file_names(directory), key=_age)


def _next(directory: Directory, names: Sequence[FileName], query: PageQuery) -> Page:
    until = monotonic() + _PAGE_SECONDS
    begin, _, offset = query.after.rpartition(":")
    first = file_name(begin) if offset.isdecimal() else None
    found: list[ShownRow] = []
    looked_at, found_to = 0, ""
    for name in _chosen(names, query.outcome):
        if first is not None and _age(name) < _age(first):
            continue
        start = int(offset) if name == first else 0
        for end, row in _rows(directory, name, start, _newest_run(names)):
            looked_at += 1
            if row is not None and _is_wanted(row, query):
                if len(found) == query.size:
                    return Page(found, found_to)
                found.append(row)
                found_to = f"{name}:{end}"
            if looked_at % _ROWS_BETWEEN_LOOKS_AT_THE_CLOCK == 0 and monotonic() > until:
                return Page(found, f"{name}:{end}", looked_at)
    return Page(found, None)


def _sorted(directory: Directory, names: Sequence[FileName], query: PageQuery) -> Page:
    kind, _, offset = query.after.rpartition(":")
    skipped = int(offset) if kind == _SORTED and offset.isdecimal() else 0
    newest = _newest_run(names)
    rows = (
        row
        for name in _chosen(names, query.outcome)
        for _, row in _rows(directory, name, 0, newest)
        if row is not None and _is_wanted(row, query)
    )
    choose = heapq.nlargest if query.is_descending else heapq.nsmallest
    found = choose(skipped + query.size + 1, rows, key=_KEYS[query.order])[skipped:]
    more = len(found) > query.size
    return Page(found[: query.size], f"{_SORTED}:{skipped + query.size}" if more else None)


def _rows(directory: Directory, name: FileName, start: int, newest: int) -> Iterator[tuple[int, ShownRow | None]]:
    """Read the rows of a file from a byte on, each with the byte at which the next one begins."""
    path = directory / str(name)
    is_old = name.kind == "rest" and name.run < newest  # no later try has replaced these rows yet
    try:
        with path.open("rb") as file:
            columns = csv_columns(file.readline().decode(errors="replace")) if name.format == "csv" else None
            end = file.tell()
            if start > end:
                # The rest of a line is no row, though it may look like one.
                file.seek(max(min(start, file.seek(0, os.SEEK_END)) - 1, 0))
                file.readline()
                end = file.tell()
            for line in file:
                if not line.endswith(b"\n"):
                    return  # it is being written
                end += len(line)
                text = line.decode(errors="replace")
                result = json_row(text) if columns is None else csv_row(text, columns)
                yield end, _shown(result, name.try_number if is_old else None) if result else None
    except FileNotFoundError:
        return  # a later try has just replaced it
    except Exception as error:  # whatever a storage raises, or a line that somebody has edited
        raise_file_error(path, "read", error)


def _age(name: FileName) -> tuple[Any, ...]:
    # In the order in which files are begun: what a later try writes between two pages is still to come, and no row is
    # missed if that try has removed the file in which the page before ended.
    return (name.run, name.kind != "sent", name.token, name.part)


def _newest_run(names: Sequence[FileName]) -> int:
    return max((name.run for name in names), default=0)


def _chosen(names: Sequence[FileName], outcome: str | None) -> list[FileName]:
    kind = "sent" if outcome in DECIDED else "rest"
    return [name for name in names if outcome is None or name.kind == kind]


def _shown(result: Result, try_number: int | None) -> ShownRow:
    return ShownRow(
        key=None if result.key is None else clean(result.key),  # half a character can be read, and not be sent on
        position=result.position,
        number=result.to,
        outcome=result.outcome.value,
        reason_code=result.reason.code.value if result.reason else None,
        reason=result.error,
        status=result.status_name,
        message_id=result.message_id,
        at=datetime.fromisoformat(result.at),
        try_number=try_number,
    )


def _is_wanted(row: ShownRow, query: PageQuery) -> bool:
    return (
        (query.outcome is None or row.outcome == query.outcome)
        and (query.reason_code is None or row.reason_code == query.reason_code)
        and (query.status is None or row.status == query.status)
        and (not query.search or query.search.casefold() in (row.key or "").casefold())
    )
