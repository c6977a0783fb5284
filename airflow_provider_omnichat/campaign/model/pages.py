"""Result rows as people look at them: a page at a time, filtered and sorted, whatever their place."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple

_MOST_SKIPPED = 2**31 - 1  # more than there are, and a number that every database takes

Order = Literal["list", "key", "outcome", "time"]
"""``list`` is the order in which rows are found fastest: of the list, or in which the invites ended."""


class PageError(ValueError):
    """A page cannot be read; the text says why, and what to do."""


class ShownRow(NamedTuple):
    """One row of a page; what its place does not keep is None."""

    key: str | None  # the user's name of the row
    position: int | None
    number: str | None
    outcome: str  # one of the eight words, or "claimed"
    reason_code: str | None = None
    reason: str | None = None
    status: str | None = None  # the name of the vendor's status
    message_id: str | None = None
    at: datetime | None = None  # when it ended, in UTC
    try_number: int | None = None  # of the try that wrote it, if a later one may have replaced it
    delivery: str | None = None  # its final status after it was accepted, if a sensor asked


class PageQuery(NamedTuple):
    """Which rows: None for all."""

    outcome: str | None = None
    reason_code: str | None = None
    status: str | None = None
    search: str | None = None  # contained in the user's key, without regard to capitals
    order: Order = "list"
    is_descending: bool = False
    after: str = ""  # where the page begins, from the page before; empty for the first
    size: int = 50

    @property
    def skipped(self) -> int:
        """How many rows come before the page, if *after* counts them; else 0."""
        return min(int(self.after), _MOST_SKIPPED) if self.after.isdecimal() else 0


class Page(NamedTuple):
    """Some rows."""

    rows: Sequence[ShownRow]
    after: str | None  # for the next page; None at the end
    looked_at: int | None = None  # rows looked at, if time ran out before the page was full; the next one goes on
