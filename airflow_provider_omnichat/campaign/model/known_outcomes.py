"""Outcomes of very many recipients in little memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.model.seen import entry_in


class KnownOutcomes(Mapping[str, Outcome]):
    """
    Outcomes by recipient key in little memory: 15 bytes each, in as many heaps as keys begin differently.

    A dict of the same takes about 190 bytes each.
    """

    _ORDER = tuple(Outcome)
    _HEAD = 2
    _SIZE = 16 - _HEAD + 1

    def __init__(self) -> None:
        self._heaps: dict[bytes, bytearray] = {}
        self._count = 0

    def add(self, key: str, outcome: Outcome) -> None:
        """
        Remember an outcome; the last one holds.

        :param key: 32 hexadecimal digits.
        :param outcome: how it ended.
        """
        digest = bytes.fromhex(key)
        if len(digest) != 16:
            raise ValueError("a recipient key has 32 hexadecimal digits")
        code = self._ORDER.index(outcome)
        heap = self._heaps.get(digest[: self._HEAD])
        if heap is None:
            heap = self._heaps[digest[: self._HEAD]] = bytearray()
        at = entry_in(heap, digest[self._HEAD :], self._SIZE)
        if at < 0:
            heap += digest[self._HEAD :]
            heap.append(code)
            self._count += 1
        else:
            heap[at + self._SIZE - 1] = code

    def __getitem__(self, key: str) -> Outcome:
        outcome: Outcome | None = self.get(key)
        if outcome is None:
            raise KeyError(key)
        return outcome

    def get(self, key: object, default: Any = None) -> Any:
        """Give the outcome of a key, else *default*; any object may be asked for."""
        try:
            digest = bytes.fromhex(key)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return default
        heap = self._heaps.get(digest[: self._HEAD])
        if heap is None or len(digest) != 16:
            return default
        at = entry_in(heap, digest[self._HEAD :], self._SIZE)
        return default if at < 0 else self._ORDER[heap[at + self._SIZE - 1]]

    def __contains__(self, key: object) -> bool:
        return self.get(key) is not None

    def __iter__(self) -> Iterator[str]:
        for head, heap in self._heaps.items():
            for at in range(0, len(heap), self._SIZE):
                yield (head + heap[at : at + self._SIZE - 1]).hex()

    def __len__(self) -> int:
        return self._count
