"""The rows of lists in memory and of iterators."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from airflow_provider_omnichat.api.privacy import is_address, is_path
from airflow_provider_omnichat.campaign.model.rows import Row, RowSourceError

# How a data frame returns its rows, by a method that it has: polars, pyarrow, pandas.
_FRAMES = (("to_dicts", ".to_dicts()"), ("to_pylist", ".to_pylist()"), ("iterrows", ".to_dict('records')"))


class ListedRows:
    """The rows of a list in memory, which can be read any number of times; see :func:`rows_of_list`."""

    def __init__(self, items: list[Any] | tuple[Any, ...]) -> None:
        rows_of_list(items)
        self._items = items
        self._count = sum(len(item) if isinstance(item, list | tuple) else 1 for item in items)

    def __iter__(self) -> Iterator[Row]:
        return rows_of_list(self._items)

    def __len__(self) -> int:
        return self._count


def rows_of_list(items: Iterable[object]) -> Iterator[Row]:
    """
    Return the rows of a list of mappings, or of lists of them, as several mapped tasks or pages give.

    A list or tuple is checked as a whole at once, so that nothing is sent if it has a mistake; any other iterable is
    checked as it is read. RowSourceError names the first wrong item.
    """
    if is_frame(items) or isinstance(items, str | bytes | bytearray | Mapping) or not isinstance(items, Iterable):
        raise RowSourceError(f"invites: must be a list of dicts, {_is_a(items)}")
    if isinstance(items, list | tuple):
        for _ in _rows_of_items(items):
            pass
    return _rows_of_items(items)


def rows_of_dict(row: Mapping[Any, Any], name: str = "invites") -> list[Mapping[Any, Any]]:
    """Return a bare dict as a list of one row; raise RowSourceError for a table in the shape of a dict."""
    if row and all(isinstance(value, list | tuple | Mapping) for value in row.values()):
        kind = type(next(iter(row.values()))).__name__
        raise RowSourceError(
            f"{name}: must be a list of dicts, is a dict in which each value is a {kind}; write each row as a"
            " dict, such as [{'to': '+41...'}, ...]"
        )
    return [row]


def is_frame(value: object) -> bool:
    """Return whether a value is a data frame, which can be iterated, but not by row."""
    return any(callable(getattr(value, method, None)) for method, _ in _FRAMES)


def _rows_of_items(items: Iterable[object]) -> Iterator[Row]:
    position = 0
    for place, item in enumerate(items, 1):
        if isinstance(item, Mapping):
            position += 1
            yield Row(position, item)
        elif isinstance(item, list | tuple):
            for inner, row in enumerate(item, 1):
                if not isinstance(row, Mapping):
                    where = f"item {place} is a {type(item).__name__}, and item {inner} in it"
                    raise RowSourceError(f"invites: {where} must be a dict, {_is_a(row)}")
                position += 1
                yield Row(position, row)
        else:
            raise RowSourceError(f"invites: item {place} must be a dict, {_is_a(item)}")


def _is_a(value: object) -> str:
    """Describe a value that should be a row or a list, and what to do about it, without showing any of it."""
    kind = f"is a {type(value).__name__}"
    for method, call in _FRAMES:
        if callable(getattr(value, method, None)):
            return f"{kind}; pass its rows with {call}"
    if is_path(value) or (isinstance(value, str) and is_address(value)):
        return f"{kind}, the address of a file; one task reads one file: give each a task with .expand(invites=...)"
    if isinstance(value, str):
        return f"{kind}; a number alone is not an invite, write {{'to': ...}}"
    if isinstance(value, list | tuple):
        return f"{kind}; lists of lists are accepted, deeper ones are not"
    return kind
