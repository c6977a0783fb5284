"""What local files of results and those on object storage have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from airflow_provider_omnichat.campaign.model.rows import Result
from airflow_provider_omnichat.campaign.results.format import RowFormat


class Writer:
    """Takes the rows of one kind; what could not be written waits for the next time."""

    def __init__(self, path_of: Callable[[int], Any], format: RowFormat) -> None:
        self._path_of = path_of
        self._format = format
        self._part = 1
        self._waiting: list[bytes] = []

    def add(self, results: Sequence[Result]) -> None:
        """Take rows, to be written by the next :meth:`send` that does not fail."""
        self._waiting.append(self._format.encode(results))

    def send(self) -> None:
        """Write what waits, where enough does."""
        raise NotImplementedError

    def close(self) -> None:
        """Write all that waits and make it durable; it may be called again."""
        raise NotImplementedError
