"""
Outages of the ledger, or of the place for results, in the middle of a campaign.

Outcomes are then only in memory. If they are lost, those recipients are in doubt for good. So nothing more is sent, and
the outcomes are written again and again until that works, or patience ends.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from time import monotonic
from typing import ParamSpec, TypeVar, cast

from airflow_provider_omnichat.campaign.engine.progress import Log
from airflow_provider_omnichat.campaign.ledger.frequency_cap import CountingLedger
from airflow_provider_omnichat.campaign.ledger.interface import Ledger
from airflow_provider_omnichat.campaign.model.place import Place, StorageError
from airflow_provider_omnichat.campaign.model.rows import Result
from airflow_provider_omnichat.campaign.model.sentences import sentences

P = ParamSpec("P")
T = TypeVar("T")

_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 5.0


class Patience:
    """Repeats calls that failed in an outage of so many seconds at most; *hold* gets whether there is one now."""

    def __init__(self, seconds: float, hold: Callable[[bool], object], log: Log) -> None:
        self._seconds, self._hold, self._log = seconds, hold, log
        self._began: float | None = None
        self._ends = threading.Event()

    def end(self) -> None:
        """Stop waiting; from any thread."""
        self._ends.set()

    def call(self, function: Callable[[], T]) -> T:
        """Call until it works, or fails otherwise than in an outage, or patience ends."""
        wait = _FIRST_WAIT_SECONDS
        while True:
            try:
                result = function()
            except StorageError as error:
                if not (error.is_outage and self._has_waited(error, wait)):
                    raise
                wait = min(2 * wait, _LONGEST_WAIT_SECONDS)
            else:
                self._note_success()
                return result

    def _has_waited(self, error: StorageError, wait: float) -> bool:
        """Wait for a while, or return False if patience has ended."""
        now = monotonic()
        if self._began is None:
            self._began = now
            if self._seconds:
                self._hold(True)
                ahead = f"It is tried again for up to {self._seconds:g} seconds; nothing is sent until it works"
                self._log.warning("%s", sentences(str(error), ahead))
        left = self._began + self._seconds - now
        return left > 0 and not self._ends.wait(min(wait, left))

    def _note_success(self) -> None:
        began, self._began = self._began, None
        if began is not None and self._seconds:
            self._hold(False)
            self._log.info("All outcomes are recorded again, after %.1f seconds", monotonic() - began)


class _Patient:
    """Has patience from its second call on: if the first one fails, the address may be wrong, and nothing was sent."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._has_worked = False

    def _patient(self, function: Callable[P, T]) -> Callable[P, T]:
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            once = partial(function, *args, **kwargs)
            result = self._patience.call(once) if self._has_worked else once()
            self._has_worked = True
            return result

        return call


class PatientLedger(_Patient):
    """A :class:`Ledger` whose calls outlast an outage."""

    def __init__(self, ledger: Ledger, patience: Patience) -> None:
        super().__init__(patience)
        self._ledger = ledger
        self.group_factor = ledger.group_factor
        self.id_key, self.repeated = ledger.id_key, ledger.repeated
        self.claim = self._patient(ledger.claim)
        self.find = self._patient(ledger.find)
        self.record = ledger.record  # only flush, which follows, writes
        self.leave_in_doubt = self._patient(ledger.leave_in_doubt)
        self.settle = self._patient(ledger.settle)
        self.flush = self._patient(ledger.flush)
        self.close = ledger.close

    def count_recent(self, numbers: Collection[str], since: datetime) -> Mapping[str, int]:
        """Count in a :class:`CountingLedger`, which not every ledger is."""
        return self._patient(cast("CountingLedger", self._ledger).count_recent)(numbers, since)


class PatientResults(_Patient):
    """A :class:`~airflow_provider_omnichat.campaign.model.place.Place` whose calls outlast an outage."""

    def __init__(self, results: Place, patience: Patience) -> None:
        super().__init__(patience)
        self._results = results
        self.close = self._patient(results.close)

    def write(self, rows: Sequence[tuple[str | None, Result]]) -> None:
        """Write each row once, and again what the place could not write."""
        given = list(rows)

        def write() -> None:
            rows, given[:] = list(given), []  # the place keeps rows it failed to write; they must not be given again
            self._results.write(rows)

        self._patient(write)()
