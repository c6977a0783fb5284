"""Which columns of a list become which fields of its rows: in files, queries, dicts and opt-out lists."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.campaign.model.names import (
    MOST_NAMES_SHOWN,
    TwoColumnsError,
    column_of,
    shown_name,
    shown_names,
)
from airflow_provider_omnichat.campaign.model.rows import BrokenRow, Row, RowSourceError

# Fields that a row may have: they are used if there is a column of that name.
_OPTIONAL = ("message", "link_placeholder")
_MOST_SHAPES = 1000
_HELD_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Need:
    """A *column* that the user has named with the operator's parameter *by*, and its name in the rows, *field*."""

    field: str
    column: str
    by: str


class AnyColumns:
    """Takes all named columns as they are; by those of *wanted*, a file's delimiter is recognised."""

    takes_nul = True

    def __init__(self, wanted: Iterable[str] = ()) -> None:
        self.wanted = list(wanted)

    def of_header(self, names: Sequence[str], where: str, lacks: str) -> dict[str, str]:
        """Return all columns that have a name; see :meth:`RowColumns.of_header`."""
        return {name: name for name in names if name}

    def with_fields(self, rows: Iterable[Row | BrokenRow], where: str) -> Iterable[Row | BrokenRow]:
        """Return the rows as they are; see :meth:`RowColumns.with_fields`."""
        return rows


class RowColumns:
    """Finds the columns that a task needs, and refuses a list without one of them."""

    takes_nul = False

    def __init__(self, needs: Iterable[Need]) -> None:
        self._needs = {need.field: need for need in needs}
        self.wanted = [need.column for need in self._needs.values()]
        self._may_have = [name for name in _OPTIONAL if name not in self._needs]

    def of_header(self, names: Sequence[str], where: str, lacks: str) -> dict[str, str]:
        """Return the column of each field, for a source with a header; its errors begin with *where* and *lacks*."""
        try:
            found, missing = self._find(names)
        except TwoColumnsError as error:
            raise TwoColumnsError(f"{where}: {error}") from None
        if missing:
            raise self._absent(missing[0], names, where + lacks)
        return found

    def with_fields(self, rows: Iterable[Row | BrokenRow], where: str) -> Iterable[Row | BrokenRow]:
        """
        Return rows of different columns with the needed fields, once each column has been found in some row.

        Rows are read ahead until all are found, in nearly all lists in the first row. They are kept in memory, beyond a
        thousand rows on the worker's disk. An iterator is read when its first row is asked for, anything else at once.
        A column that no row has, or that could be two, is a :class:`.RowSourceError`, which begins with *where*.
        """
        if isinstance(rows, Iterator):
            return self._with_fields_once(rows, where)
        for _ in self._until_all_are_seen(rows, where):
            pass
        return _RowsWithFields(self, rows)

    def _with_fields_once(self, rows: Iterator[Row | BrokenRow], where: str) -> Iterator[Row | BrokenRow]:
        ahead = self._until_all_are_seen(rows, where)
        held = list(islice(ahead, _HELD_ROWS))
        if len(held) == _HELD_ROWS:
            from airflow_provider_omnichat.campaign.rows.spool import Spool

            with Spool(ahead) as more:
                yield from self.add_fields(held)
                yield from self.add_fields(more)
        else:
            yield from self.add_fields(held)
        del held
        yield from self.add_fields(rows)

    def add_fields(self, rows: Iterable[Row | BrokenRow]) -> Iterator[Row | BrokenRow]:
        """Add to each row the fields that it has under another spelling; one with two such columns is broken."""
        known: dict[tuple[Any, ...], Mapping[str, Any] | str] = {}
        for row in rows:
            if isinstance(row, BrokenRow):
                yield row
                continue
            names = tuple(row.fields)
            others = known.get(names)
            if others is None:
                others = self._others(names)
                if len(known) < _MOST_SHAPES:
                    known[names] = others
            if not others:
                yield row
            elif isinstance(others, str):
                yield BrokenRow(row.position, Reason(ReasonCode.ROW_HAS_TWO_COLUMNS, others))
            else:
                fields = row.fields
                yield Row(row.position, {**fields, **{field: fields[name] for field, name in others.items()}})

    def _others(self, names: Collection[Any]) -> Mapping[str, Any] | str:
        """Return the columns of fields that are spelled otherwise, or the error if one could be two."""
        try:
            found, _ = self._find(names)
        except TwoColumnsError as error:
            return str(error)
        return {field: name for field, name in found.items() if field != name}

    def _until_all_are_seen(self, rows: Iterable[Row | BrokenRow], where: str) -> Iterator[Row | BrokenRow]:
        due = set(self._needs)
        names: dict[Any, None] = {}
        has_rows = False
        two: TwoColumnsError | None = None
        for row in rows if due else ():
            if isinstance(row, Row):
                has_rows = True
                try:
                    due.difference_update(self._find(row.fields)[0])
                except TwoColumnsError as error:
                    two = two or error
                if len(names) <= MOST_NAMES_SHOWN:
                    names.update(dict.fromkeys(row.fields))
            yield row
            if not due:
                return
        if due and two is not None:
            raise TwoColumnsError(f"{where}: {two}")
        if due and has_rows:
            first = next(field for field in self._needs if field in due)
            raise self._absent(first, names, f"{where}: no row has a column")

    def _find(self, names: Collection[Any]) -> tuple[dict[str, Any], list[str]]:
        """Return the column of each field found, and the needed fields that are missing."""
        found, missing = {}, []
        for field, need in self._needs.items():
            try:
                name = column_of(need.column, names)
            except TwoColumnsError as error:
                raise TwoColumnsError(f"{need.by}: {error}") from None
            if name is None:
                missing.append(field)
            else:
                found[field] = name
        for field in self._may_have:
            name = column_of(field, names)
            if name is not None:
                found[field] = name
        return found, missing

    def _absent(self, field: str, names: Collection[Any], lacks: str) -> RowSourceError:
        need = self._needs[field]
        return RowSourceError(
            f"{lacks} {shown_name(need.column)}; its columns are {shown_names(names)}. Correct the list or {need.by}"
        )


class _RowsWithFields:
    def __init__(self, columns: RowColumns, rows: Iterable[Row | BrokenRow]) -> None:
        self._columns = columns
        self._rows = rows

    def __iter__(self) -> Iterator[Row | BrokenRow]:
        return self._columns.add_fields(self._rows)

    def __len__(self) -> int:
        return len(self._rows)  # type: ignore[arg-type]  # lists and spools have one
