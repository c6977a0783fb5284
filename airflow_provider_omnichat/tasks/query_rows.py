"""From a query to the rows of a list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_omnichat.campaign.engine.progress import Log
from airflow_provider_omnichat.campaign.model.rows import Row
from airflow_provider_omnichat.campaign.rows.columns import RowColumns
from airflow_provider_omnichat.campaign.rows.spool import Spool
from airflow_provider_omnichat.hooks.sql_rows import rows_of_query


@dataclass(frozen=True, slots=True)
class QueryRows:
    """The rows that a query gives, of the columns that are needed."""

    conn_id: str
    sql: str = field(repr=False)
    parameters: Sequence[Any] | Mapping[str, Any] | None = field(repr=False)
    columns: RowColumns
    log: Log

    @contextmanager
    def open(self, *, reads_twice: bool) -> Iterator[Spool]:
        """
        See :class:`~airflow_provider_omnichat.campaign.model.rows.RowSource`.

        The rows are set aside on disk first, so that neither memory nor a cursor is held while they are sent.
        """
        with Spool(self._rows()) as spool:
            self.log.info("The query gave %s rows", len(spool))
            yield spool

    def _rows(self) -> Iterator[Row]:
        taken: dict[str, str] = {}

        def settle(names: Sequence[str]) -> None:
            taken.update(self.columns.of_header(names, "The query", " gives no column"))

        found = rows_of_query(self.conn_id, self.sql, self.parameters, settle)
        for position, values in enumerate(found, 1):
            yield Row(position, {field: values[column] for field, column in taken.items()})
