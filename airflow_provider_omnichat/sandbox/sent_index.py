"""The accepted invites by their message id, for the logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_omnichat.sandbox.outbox import Outbox, Receipt


class SentIndex:
    """Finds accepted invites by their id; brought up to date when it is asked, so that sending pays nothing."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._by_id: dict[str, Receipt] = {}
        self._newest: Receipt | None = None

    def find(self, message_ids: Iterable[str]) -> list[Receipt]:
        """Return those of the invites that there are."""
        newest = self._newest
        for receipt in self._outbox.latest():
            if receipt is self._newest:
                break
            if newest is self._newest:
                newest = receipt
            if receipt.message_id is not None:
                self._by_id[receipt.message_id] = receipt
        self._newest = newest
        return [self._by_id[each] for each in message_ids if each in self._by_id]

    def clear(self) -> None:
        """Forget what was sent."""
        self._by_id.clear()
        self._newest = None
