"""Which columns of a source become which fields of its rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from airflow_provider_omnichat.campaign.row_sources import RowSourceError
from airflow_provider_omnichat.campaign.rows import Row

_MOST_SHOWN = 50


class RowColumns:
    """
    Takes the columns that are needed from a source that names its columns once, and makes rows of them.

    A name is taken as it is where the source has it; else as the only column that differs by capitals alone, because
    databases change those on their own (Snowflake and Oracle to capitals, PostgreSQL to small letters).

    :param needs: fields that each row must have, and the column that each is taken from.
    :param may_have: fields that are taken where there is a column of that name.
    """

    def __init__(self, needs: Mapping[str, str], may_have: Collection[str] = ()) -> None:
        self._needs = dict(needs)
        self._may_have = [name for name in may_have if name not in needs]
        self._columns: dict[str, str] = {}

    def settle(self, columns: Sequence[str]) -> None:
        """
        Look at what the source has.

        :param columns: the names of its columns.
        :raises RowSourceError: one that is needed is not there.
        """
        found = {field: _column(column, columns) for field, column in self._needs.items()}
        for field, column in found.items():
            if column is None:
                shown = ", ".join(columns[:_MOST_SHOWN]) + (", …" if len(columns) > _MOST_SHOWN else "")
                raise RowSourceError(
                    f"The query gives no column {self._needs[field]!r}; its columns are {shown}. Mend the query, or the"
                    " operator's to_column, key_column, region_column, time_zone_column, message_column or message"
                )
        optional = {field: _column(field, columns) for field in self._may_have}
        self._columns = {field: column for field, column in (found | optional).items() if column is not None}

    def row(self, position: int, values: Mapping[str, Any]) -> Row:
        """
        Make a row.

        :param position: in the list, from 1.
        :param values: by column name.
        """
        return Row(position, {field: values[column] for field, column in self._columns.items()})


def _column(name: str, columns: Sequence[str]) -> str | None:
    if name in columns:
        return name
    alike = [column for column in columns if column.lower() == name.lower()]
    return alike[0] if len(alike) == 1 else None
