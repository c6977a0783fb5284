"""One of several parts of a list, for tasks that share it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Partition:
    """
    The rows of one part, told by the recipient: one person is always in the same part, wherever the row stands.

    :param part: which one, from 0.
    :param parts: how many there are; the same in all tasks that share the list.
    """

    part: int
    parts: int

    @classmethod
    def of(cls, given: object) -> Partition | None:
        """
        Read what a user gave.

        :param given: ``(part, parts)``, such as ``(0, 4)``; None for the whole list.
        :raises ValueError: when it is anything else; says what to write.
        """
        if given is None:
            return None
        if isinstance(given, list | tuple) and len(given) == 2:
            part, parts = (
                int(number) if isinstance(number, str) and number.isdecimal() else number for number in given
            )
            if type(part) is int and type(parts) is int and 0 <= part < parts:
                return cls(part, parts)
        raise ValueError(f"partition: must be (part, parts) with 0 <= part < parts, such as (0, 4), not {given!r}")

    def has(self, number: str) -> bool:
        """
        Say whether a recipient is in this part.

        :param number: in international format, digits only.
        """
        # Another hash than that of the ledger, and without the campaign: stable over campaigns and versions.
        digest = hashlib.blake2b(number.encode(), digest_size=8, person=b"partition").digest()
        return int.from_bytes(digest) % self.parts == self.part

    def has_row(self, position: int) -> bool:
        """
        Say whether this part has to tell of a row without a readable number.

        :param position: in the list, from 1.
        """
        return position % self.parts == self.part
