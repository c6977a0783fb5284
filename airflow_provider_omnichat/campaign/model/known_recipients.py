"""Very many recipients in little memory: whether one was seen before, and with which outcome."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_omnichat.api.outcomes import Outcome


class Seen:
    """Remembers recipient keys by 80 bits of them, in about 11 bytes each; a set of the same takes 75."""

    _HEAD = 3  # hexadecimal digits: 4096 heaps, of some 2 kB each for a million keys
    _SIZE = 9
    _END = 2 + 2 * _SIZE

    def __init__(self) -> None:
        self._heaps = defaultdict[str, bytearray](bytearray)

    def add(self, key: str) -> bool:
        """Remember a key (hexadecimal digits, evenly spread, at least 20), and return whether it is new."""
        heap = self._heaps[key[: self._HEAD]]
        tail = bytes.fromhex(key[2 : self._END])
        if entry_in(heap, tail, self._SIZE) >= 0:
            return False
        heap += tail
        return True


class KnownOutcomes(Mapping[str, Outcome]):
    """Outcomes by recipient key, in 15 bytes each; a dict of the same takes about 190."""

    _ORDER = tuple(Outcome)
    _HEAD = 2
    _SIZE = 16 - _HEAD + 1

    def __init__(self) -> None:
        self._heaps = defaultdict[bytes, bytearray](bytearray)
        self._count = 0

    def add(self, key: str, outcome: Outcome) -> None:
        """Remember the outcome of a key (32 hexadecimal digits); the last one counts."""
        digest = bytes.fromhex(key)
        if len(digest) != 16:
            raise ValueError("a recipient key has 32 hexadecimal digits")
        code = self._ORDER.index(outcome)
        heap = self._heaps[digest[: self._HEAD]]
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
        """Return the outcome of a key, else *default*; any object may be asked for."""
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


def entry_in(heap: bytearray, entry: bytes, size: int) -> int:
    """Return where in a heap of entries of this size one begins that starts with these bytes; -1 if none does."""
    at = heap.find(entry)
    # The end of one entry and the beginning of the next may look like a third.
    while at > 0 and at % size:
        at = heap.find(entry, at + 1)
    return at
