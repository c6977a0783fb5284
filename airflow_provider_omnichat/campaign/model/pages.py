"""Rows of a campaign for people who look: a page at a time, chosen and sorted, wherever the rows live."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple

_MOST_SKIPPED = 2**31 - 1  # more than there are, and a number that every database takes

Order = Literal["list", "key", "outcome", "time"]
"""``list`` is the order in which they are found fastest: of the list, or of the ends of the invites."""


class PageError(ValueError):
    """A page cannot be given; the text says why, and what to do."""


class ShownRow(NamedTuple):
    """
    One row.

    :param key: the user's name of the row; None where there is none.
    :param position: of the row in the list, from 1; None where it is not kept.
    :param number: the whole number; None where it is not kept.
    :param outcome: one of the eight words, or ``claimed``.
    :param reason_code: why it was not accepted; None where it was, or where nobody knows.
    :param reason: the same for people.
    :param status: the name of the vendor's status.
    :param message_id: of the vendor.
    :param at: when it ended; in UTC.
    :param try_number: of the try that wrote it, where a later one may have replaced it and not removed it yet.
    :param delivery: what became of it after it was accepted, where somebody asked.
    """

    key: str | None
    position: int | None
    number: str | None
    outcome: str
    reason_code: str | None = None
    reason: str | None = None
    status: str | None = None
    message_id: str | None = None
    at: datetime | None = None
    try_number: int | None = None
    delivery: str | None = None


class PageQuery(NamedTuple):
    """
    Which rows.

    :param outcome: only these; None for all.
    :param reason_code: likewise.
    :param status: likewise, by the name of the vendor's status.
    :param search: a part of the user's key, without regard to capitals.
    :param order: by what they are sorted.
    :param is_descending: the other way round.
    :param after: where the page begins: what the page before gave; empty for the first.
    :param size: rows at most.
    """

    outcome: str | None = None
    reason_code: str | None = None
    status: str | None = None
    search: str | None = None
    order: Order = "list"
    is_descending: bool = False
    after: str = ""
    size: int = 50

    @property
    def skipped(self) -> int:
        """How many rows stand before the page, where *after* counts them; 0 where it is something else."""
        return min(int(self.after), _MOST_SKIPPED) if self.after.isdecimal() else 0


class Page(NamedTuple):
    """
    Some rows.

    :param rows: in their order.
    :param after: for the next page; None at the end.
    :param looked_at: how many rows were looked at, where time ran out before the page was full; the next one goes on.
    """

    rows: Sequence[ShownRow]
    after: str | None
    looked_at: int | None = None
