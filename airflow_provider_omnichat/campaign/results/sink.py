"""Where the rows of a batch's results go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.model.rows import Result

FINAL_OUTCOMES: frozenset[Outcome] = frozenset({Outcome.ACCEPTED, Outcome.REJECTED})
"""Outcomes that stand. A row with any other is written anew by each try, and what the last try wrote holds."""


class ResultSink(Protocol):
    """
    Takes result rows as they come, so that all tries of a task instance together hold each row of the list once.

    Calls come from one thread at a time and may block.
    """

    @property
    def location(self) -> str | None:
        """Where the rows are, for people and for the manifest; None when nobody asked for rows."""

    def earlier(self) -> Mapping[str, Outcome]:
        """Give the decided rows that earlier tries have written, by recipient key; they are not written again."""

    def write(self, results: Sequence[tuple[str | None, Result]]) -> None:
        """
        Write rows.

        :param results: recipient key (None for a row without one, such as an invalid number) and row.
        """

    def close(self, whole: bool = True) -> None:
        """
        Make everything durable.

        :param whole: whether every row of the list was written or decided before; then what earlier tries wrote of rows
            that were not decided is dropped.
        """


class NoResults:
    """Keeps no rows: nobody said where to."""

    location = None

    def earlier(self) -> Mapping[str, Outcome]:
        """See :class:`ResultSink`."""
        return {}

    def write(self, results: Sequence[tuple[str | None, Result]]) -> None:
        """See :class:`ResultSink`."""

    def close(self, whole: bool = True) -> None:
        """See :class:`ResultSink`."""
