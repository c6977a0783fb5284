"""Where the result rows of a batch live: what every kind of place is asked, and the places that hold none."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.privacy import shown_address
from airflow_provider_omnichat.campaign.model.delivery import Deliveries
from airflow_provider_omnichat.campaign.model.pages import Page, PageError, PageQuery
from airflow_provider_omnichat.campaign.model.rows import Result

DECIDED: frozenset[Outcome] = frozenset({Outcome.ACCEPTED, Outcome.REJECTED})
"""Outcomes that stand. A row with any other is written again by each try, and the newest one counts."""


class StorageError(OmnichatError):
    """
    Records cannot be read or written: the ledger, a table or files of results.

    :param is_outage: it may be over in a moment, such as the restart of a database; then the same call can be made
        again, whether or not the first one arrived.
    """

    def __init__(self, text: str, *, is_outage: bool = False) -> None:
        super().__init__(text)
        self.is_outage = is_outage


class PlaceError(PageError):
    """A place cannot do what was asked, and another try will not help; the text says what to do."""


class Place(ABC):
    """
    Where the result rows of a batch live, so that all tries of a task instance together hold each row of the list once.

    A kind of place is a subclass, and a line in ``KINDS`` of :mod:`airflow_provider_omnichat.tasks.places`. What it
    cannot do, it leaves to this class, which says so to people. Calls come from one thread at a time and may block.
    """

    kind: ClassVar[str]
    """The name in the registry, and in the manifest."""

    lists: frozenset[str] | None = None
    """The outcomes of which it has rows; None for all."""

    @property
    @abstractmethod
    def location(self) -> str | None:
        """Where it is, for people and the manifest; None if it holds no rows."""

    @property
    def sorts(self) -> bool:
        """Whether :meth:`page` takes another order than ``list``."""
        return False

    def rows_in(self) -> Mapping[str, str | None] | None:
        """
        Describe the place for other tasks.

        :return: ``kind`` and what the registry needs to find it again, without secrets or personal data; None if no
            other task can read it.
        """
        return None

    @abstractmethod
    def earlier(self) -> Mapping[str, Outcome]:
        """
        Read the decided rows that earlier tries wrote, by recipient key; they are not written again.

        :raises StorageError: they cannot be read; nothing may be sent.
        """

    @abstractmethod
    def write(self, results: Sequence[tuple[str | None, Result]]) -> None:
        """
        Write rows.

        :param results: recipient key (None for a row without one, such as an invalid number) and row.
        :raises StorageError: they cannot be written. The place keeps them, and writes them with the next ones or in
            :meth:`close`.
        """

    def close(self, whole: bool = False) -> None:  # noqa: B027 - some kinds have nothing to close
        """
        Make all rows durable, and close what is open; may be called again after a failure.

        :param whole: whether every row of the list was written now or decided before: then undecided rows of earlier
            tries are removed. Otherwise they may be all there is of some.
        """

    def page(self, query: PageQuery) -> Page:
        """
        Read some rows.

        :raises PageError: they cannot be read; the text says why.
        """
        raise self._cannot("be read a page at a time, so they are not listed here")

    def deliveries(self) -> Deliveries:
        """Return what reads and keeps the final statuses of its invites."""
        raise self._cannot("keep final statuses; follow the message ids of its rows instead")

    def _cannot(self, what: str) -> PlaceError:
        where = shown_address(self.location or "")
        return PlaceError(f"The rows are in {where}. A place of the kind {self.kind!r} cannot {what}")


class UnwrittenPlace(Place):
    """A place to which the engine writes no rows."""

    def earlier(self) -> Mapping[str, Outcome]:
        return {}

    def write(self, results: Sequence[tuple[str | None, Result]]) -> None:
        """See :class:`Place`."""


class NoPlace(UnwrittenPlace):
    """No place for rows, or none that can be read from here; *why* is the reason, for people."""

    kind = "none"
    location = None

    def __init__(self, why: str = "This task keeps no rows") -> None:
        self._why = why

    def _cannot(self, what: str) -> PlaceError:
        return PlaceError(self._why)


STATE_STORE = NoPlace(
    "This task keeps no rows that could be listed or followed: Airflow's task state store knows recipients only by a"
    " hash, and no other task can read it. With ledger_conn_id, or in a batch with results_path or results_table (if"
    " the list is a query), they are kept"
)
