"""Result rows on object storage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from airflow_provider_omnichat.campaign.model.rows import Result
from airflow_provider_omnichat.campaign.results.directory import put_file, raise_file_error
from airflow_provider_omnichat.campaign.results.format import RowFormat
from airflow_provider_omnichat.campaign.results.writer import Writer


class ObjectParts(Writer):
    """Parts that each go out as a whole: there, a file appears only when it is complete."""

    def __init__(
        self,
        path_of: Callable[[int], Any],
        format: RowFormat,
        most_rows: int,
        most_seconds: float,
    ) -> None:
        super().__init__(path_of, format)
        self._most_rows = most_rows
        self._most_seconds = most_seconds
        self._since = 0.0
        self._rows = 0

    def add(self, results: Sequence[Result]) -> None:
        """Take rows for the next part."""
        if not self._rows:
            self._since = monotonic()
        super().add(results)
        self._rows += len(results)

    def send(self) -> None:
        """Send the part, where it has rows enough or its first one has waited long enough."""
        if self._rows and (self._rows >= self._most_rows or monotonic() - self._since >= self._most_seconds):
            self.close()

    def close(self) -> None:
        """Send the part as it is."""
        if not self._rows:
            return
        # After a failure the same name again: it may have arrived all the same.
        path = self._path_of(self._part)
        try:
            put_file(path, b"".join([self._format.head, *self._waiting]))
        except Exception as error:
            raise_file_error(path, "written", error)
        self._part += 1
        self._rows = 0
        self._waiting.clear()
