"""
The ledger in Airflow's task state store.

Nothing to set up, outlives retries, crashes and *Clear*; one task instance wide.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.ledger import Entry, LedgerError

KEEP_FOREVER = timedelta.max
"""What Airflow calls ``NEVER_EXPIRE``: the entry lives as long as its DAG run, not just 30 days."""


class StateStore(Protocol):
    """What is used of ``context["task_state_store"]``."""

    def get(self, key: str, /) -> Any:
        """Give the value, None if there is none."""

    def set(self, key: str, value: Any, /, *, retention: timedelta | None = None) -> None:
        """Write a value."""


class StateStoreLedger:
    """
    One key for each recipient in the state store of the running task instance.

    :param store: ``context["task_state_store"]``.
    :param keep: how long entries are kept; ``NEVER_EXPIRE`` of the Airflow that runs.
    """

    def __init__(self, store: StateStore, keep: timedelta = KEEP_FOREVER) -> None:
        self._store = store
        self._keep = keep

    def claim(self, recipients: Sequence[str], retake: Collection[Outcome | None]) -> Mapping[str, Entry]:
        """See :class:`~airflow_provider_omnichat.campaign.ledger.Ledger`."""
        taken: dict[str, Entry] = {}
        for recipient in recipients:
            entry = self._read(recipient)
            if entry is not None and entry.outcome not in retake:
                taken[recipient] = entry
                continue
            claim = Entry.now(None)
            self._write(recipient, claim)
            # Airflow answers "no such key" also when its server cannot find the task instance or a proxy says 404. A
            # claim that cannot be read back would be lost on the next try, and so would have been one of an earlier
            # try.
            if self._read(recipient) != claim:
                raise LedgerError("The claim was not found again in the task state store; nothing was sent")
        return taken

    def record(self, entries: Mapping[str, Entry]) -> None:
        """See :class:`~airflow_provider_omnichat.campaign.ledger.Ledger`."""
        for recipient, entry in entries.items():
            self._write(recipient, entry)

    def _read(self, recipient: str) -> Entry | None:
        try:
            data = self._store.get(_key(recipient))
        except Exception as error:  # whatever a store raises, it has one meaning here
            raise LedgerError(
                f"The task state store cannot be read ({type(error).__name__}); nothing was sent"
            ) from error
        return None if data is None else Entry.from_json(data)

    def _write(self, recipient: str, entry: Entry) -> None:
        try:
            self._store.set(_key(recipient), entry.to_json(), retention=self._keep)
        except Exception as error:  # see above
            raise LedgerError(f"The task state store cannot be written ({type(error).__name__})") from error


def _key(recipient: str) -> str:
    return f"omnichat:invite:{recipient}"
