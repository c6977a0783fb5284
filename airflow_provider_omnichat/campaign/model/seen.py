"""Whether a recipient was met before, for very many recipients in little memory."""

from __future__ import annotations

_HEAD = 3
_SIZE = 9
_END = 2 + 2 * _SIZE


class Seen:
    """
    Remembers recipient keys by 80 bits of them, in about 11 bytes each; a set of the same takes 75.

    They lie in 4096 heaps, by how they begin. A million make heaps of some 2 kB, in which one is found in well under a
    microsecond.
    """

    def __init__(self) -> None:
        self._heaps: dict[str, bytearray] = {}

    def add(self, key: str) -> bool:
        """
        Remember a key.

        :param key: hexadecimal digits, evenly spread, at least 20.
        :return: whether it is a new one.
        """
        heap = self._heaps.get(key[:_HEAD])
        if heap is None:
            heap = self._heaps[key[:_HEAD]] = bytearray()
        tail = bytes.fromhex(key[2:_END])
        if entry_in(heap, tail, _SIZE) >= 0:
            return False
        heap += tail
        return True


def entry_in(heap: bytearray, entry: bytes, size: int) -> int:
    """
    Tell where in a heap of equally long entries one begins that starts with these bytes; -1 if none does.

    :param heap: entries side by side.
    :param entry: what it starts with.
    :param size: of each.
    """
    at = heap.find(entry)
    # The end of one entry and the beginning of the next may look like a third.
    while at > 0 and at % size:
        at = heap.find(entry, at + 1)
    return at
