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
    """
    One row.

    :param key: the user's name of the row.
    :param position: in the list, from 1; None if it is not kept.
    :param number: the whole number; None if it is not kept.
    :param outcome: one of the eight words, or ``claimed``.
    :param reason_code: why it was not accepted, if that is known; *reason* is the same for people.
    :param status: the name of the vendor's status.
    :param at: when it ended; in UTC.
    :param try_number: of the try that wrote it, if a later one may have replaced it without removing it yet.
    :param delivery: its final status after it was accepted, if a sensor asked.
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
    Which rows: None for all.

    :param status: the name of the vendor's status.
    :param search: contained in the user's key, without regard to capitals.
    :param after: where the page begins, from the page before; empty for the first.
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
        """How many rows come before the page, if *after* counts them; else 0."""
        return min(int(self.after), _MOST_SKIPPED) if self.after.isdecimal() else 0


class Page(NamedTuple):
    """
    Some rows.

    :param after: for the next page; None at the end.
    :param looked_at: how many rows were looked at if time ran out before the page was full; the next one goes on.
    """

    rows: Sequence[ShownRow]
    after: str | None
    looked_at: int | None = None
