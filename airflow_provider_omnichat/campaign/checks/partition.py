"""A task's share of a list that several tasks send to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Partition:
    """The rows of one task, chosen by recipient: a person is always in the same partition, wherever the row is."""

    part: int
    parts: int

    @classmethod
    def of(cls, given: object) -> Partition | None:
        """Build a partition from ``(part, parts)``, such as ``(0, 4)``; None is the whole list."""
        if given is None:
            return None
        if isinstance(given, list | tuple) and len(given) == 2:
            part, parts = (
                int(number) if isinstance(number, str) and number.isdecimal() else number for number in given
            )
            if type(part) is int and type(parts) is int and 0 <= part < parts:
                return cls(part, parts)
        raise ValueError(f"partition: must be (part, parts) with 0 <= part < parts, such as (0, 4), not {given!r}")

    def has(self, identity: str) -> bool:
        """Return whether a person, by identity, is in this partition."""
        # Not the ledger's hash, and without the campaign: the same in all campaigns and versions.
        digest = hashlib.blake2b(identity.encode(), digest_size=8, person=b"partition").digest()
        return int.from_bytes(digest) % self.parts == self.part

    def has_row(self, position: int) -> bool:
        """Return whether a row without a readable number counts in this partition, by its position in the list."""
        return position % self.parts == self.part
