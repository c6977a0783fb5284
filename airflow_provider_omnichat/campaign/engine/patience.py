"""
What a campaign does while the ledger or the place for results is away for a moment.

What is known is then only in memory: that an invite was sent, or certainly was not. If it is lost, that person is in
doubt for good. So nothing more is sent, and what is known is written again until it is there, or patience ends.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from time import monotonic
from typing import TypeVar, cast

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.engine.progress import Log
from airflow_provider_omnichat.campaign.ledger.frequency_cap import CountingLedger
from airflow_provider_omnichat.campaign.ledger.interface import Claim, Entry, Ledger, Settlement
from airflow_provider_omnichat.campaign.model.place import Place
from airflow_provider_omnichat.campaign.model.rows import Result
from airflow_provider_omnichat.campaign.model.sentences import sentences
from airflow_provider_omnichat.campaign.model.storage_error import StorageError

T = TypeVar("T")

_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 5.0


class Patience:
    """
    Makes calls again that failed in an outage; used from one thread.

    :param seconds: that an outage may last.
    :param hold: called with True when one begins, and with False when it is over.
    :param log: where that is logged.
    """

    def __init__(self, seconds: float, hold: Callable[[bool], object], log: Log) -> None:
        self._seconds = seconds
        self._hold = hold
        self._log = log
        self._began: float | None = None
        self._ends = threading.Event()

    def end(self) -> None:
        """Wait no more; from any thread."""
        self._ends.set()

    def call(self, function: Callable[[], T]) -> T:
        """
        Call until it works.

        :param function: may be called again after a :class:`StorageError` that says ``is_outage``.
        :raises StorageError: as *function* raised it at last.
        """
        wait = _FIRST_WAIT_SECONDS
        while True:
            try:
                result = function()
            except StorageError as error:
                if not (error.is_outage and self._has_waited(error, wait)):
                    raise
                wait = min(2 * wait, _LONGEST_WAIT_SECONDS)
            else:
                self._note_that_it_works()
                return result

    def _has_waited(self, error: StorageError, wait: float) -> bool:
        """Wait for a while; False where patience has ended."""
        now = monotonic()
        if self._began is None:
            self._began = now
            if self._seconds:
                self._hold(True)
                ahead = f"It is tried again for up to {self._seconds:g} seconds, and nothing is sent meanwhile"
                self._log.warning("%s", sentences(str(error), ahead))
        left = self._began + self._seconds - now
        return left > 0 and not self._ends.wait(min(wait, left))

    def _note_that_it_works(self) -> None:
        began, self._began = self._began, None
        if began is not None and self._seconds:
            self._hold(False)
            self._log.info("All that is known is recorded again, after %.1f seconds", monotonic() - began)


class _Patient:
    """
    Has patience from its second call on: where the first one fails, the address may be wrong, and nothing was sent.

    :param patience: to have.
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._has_worked = False

    def _call(self, function: Callable[[], T]) -> T:
        result = self._patience.call(function) if self._has_worked else function()
        self._has_worked = True
        return result


class PatientLedger(_Patient):
    """
    A ledger whose calls outlast an outage.

    :param ledger: to call.
    :param patience: to have.
    """

    def __init__(self, ledger: Ledger, patience: Patience) -> None:
        super().__init__(patience)
        self._ledger = ledger

    def claim(self, claims: Sequence[Claim], retake: Collection[Outcome | None]) -> Mapping[str, Entry]:
        """See :class:`~airflow_provider_omnichat.campaign.ledger.interface.Ledger`."""
        return self._call(lambda: self._ledger.claim(claims, retake))

    def find(self, claims: Sequence[Claim]) -> Mapping[str, Entry]:
        """See :class:`~airflow_provider_omnichat.campaign.ledger.interface.Ledger`."""
        return self._call(lambda: self._ledger.find(claims))

    def record(self, entries: Mapping[str, Entry]) -> None:
        """See :class:`~airflow_provider_omnichat.campaign.ledger.interface.Ledger`."""
        self._ledger.record(entries)

    def leave_in_doubt(self, claims: Sequence[Claim]) -> None:
        """See :class:`~airflow_provider_omnichat.campaign.ledger.interface.Ledger`."""
        self._call(lambda: self._ledger.leave_in_doubt(claims))

    def settle(self, claims: Sequence[Claim], settlements: Mapping[str, Settlement]) -> Mapping[str, str]:
        """See :class:`~airflow_provider_omnichat.campaign.ledger.interface.Ledger`."""
        return self._call(lambda: self._ledger.settle(claims, settlements))

    def flush(self) -> None:
        """See :class:`~airflow_provider_omnichat.campaign.ledger.interface.Ledger`."""
        self._call(self._ledger.flush)

    def close(self) -> None:
        """See :class:`~airflow_provider_omnichat.campaign.ledger.interface.Ledger`."""
        self._ledger.close()

    def count_recent(self, numbers: Collection[str], since: datetime) -> Mapping[str, int]:
        """See :class:`~airflow_provider_omnichat.campaign.ledger.frequency_cap.CountingLedger`."""
        return self._call(lambda: cast("CountingLedger", self._ledger).count_recent(numbers, since))


class PatientResults(_Patient):
    """
    A place for results whose calls outlast an outage.

    :param results: to call.
    :param patience: to have.
    """

    def __init__(self, results: Place, patience: Patience) -> None:
        super().__init__(patience)
        self._results = results

    def write(self, rows: Sequence[tuple[str | None, Result]]) -> None:
        """See :class:`~airflow_provider_omnichat.campaign.model.place.Place`."""
        given = list(rows)

        def write() -> None:
            rows, given[:] = list(given), []  # what fails is kept by the place, and must not be given again
            self._results.write(rows)

        self._call(write)

    def close(self, whole: bool) -> None:
        """See :class:`~airflow_provider_omnichat.campaign.model.place.Place`."""
        self._call(lambda: self._results.close(whole))
