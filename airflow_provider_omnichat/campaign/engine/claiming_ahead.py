"""How much of a list is claimed ahead of the senders: enough to keep them busy, and no more."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from time import monotonic

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.campaign.model.rows import Candidate, ListFailedError, Result
from airflow_provider_omnichat.campaign.sending.pacer import Pacer
from airflow_provider_omnichat.campaign.sending.sender import Sender

LARGEST_BLOCK = 2000
"""Rows that are read, claimed or written at once, at most."""

_AHEAD_SECONDS = 0.25
_FIRST_INVITES = 4
_MOST_GROWTH = 4
# The pace is that of the last second, of this part of a second at least.
_MEASURED_SECONDS = 1.0
_SHORTEST_SECONDS = 0.05
# Shares of a block that still wait when more is claimed: this at the earliest, this at the latest.
_EARLIEST = 0.75
_LATEST = 0.2
# What is kept of the longest time that a refill took, from one to the next.
_FADES = 0.8


class ClaimingAhead:
    """
    Says how large the next block is, and when it is time for it.

    A block is what is sent in a quarter of a second, or in as long as a claim takes: what is claimed and not sent is
    what a killed worker leaves in doubt for nothing. The first one is small, since how fast it goes is known only once
    something was sent; where the senders have nothing to do although the block was all sent, the next is twice as
    large. No more is claimed while many invites that the vendor has refused wait to be tried again.

    :param pacer: knows the pace, once there is one.
    :param sender: knows what was sent and what waits.
    :param concurrency: requests under way at most.
    """

    def __init__(self, pacer: Pacer, sender: Sender, concurrency: int) -> None:
        self._pacer = pacer
        self._sender = sender
        self._concurrency = concurrency
        self._size = _FIRST_INVITES
        self._marks: deque[tuple[float, int]] = deque()
        self._skips = False
        self._least = 1
        self._refill_began = 0.0
        self._refill_seconds = _AHEAD_SECONDS / 4

    def block_size(self) -> int:
        """Give how many invites the next block should have."""
        if self._sender.stopped.is_set():
            return LARGEST_BLOCK
        size = self._size
        if self._pacer.rate is not None:
            size = min(size, self._sent_ahead(self._pacer.rate))
        return max(size, 2 * self._concurrency) if self._skips else size

    def room(self, size: int) -> tuple[int, int]:
        """
        Say when it is time for the next block: what :meth:`Sender.has_room` asks for.

        Fewer must wait than are sent in twice the time that a refill takes.

        :param size: of the block.
        """
        share = min(_EARLIEST, max(_LATEST, 2 * self._refill_seconds / _AHEAD_SECONDS))
        return max(1, int(size * share)), max(self._concurrency, size)

    def refill_begins(self) -> None:
        """Note that a block is read now."""
        self._refill_began = now = monotonic()
        marks, taken = self._marks, self._sender.taken
        marks.append((now, taken))
        while now - marks[0][0] > _MEASURED_SECONDS and len(marks) > 2:
            marks.popleft()
        began, taken_then = marks[0]
        if now - began >= _SHORTEST_SECONDS:
            pace = (taken - taken_then) / (now - began)
            self._size = min(self._sent_ahead(pace), _MOST_GROWTH * self._size)
            if now - self._sender.started < _MEASURED_SECONDS:  # answers are on their way
                self._size = max(_FIRST_INVITES, self._size)
        self._size = max(self._least, self._size)

    def refilled(self, candidates: int, queued: int, was_starved: bool) -> None:
        """
        Note that a block is claimed, and waits to be sent.

        :param candidates: how many it had.
        :param queued: how many of them wait; where few do, this is a part of the list that earlier tries have sent.
        :param was_starved: whether the senders had nothing to do before it came.
        """
        self._skips = 2 * queued < candidates
        self._refill_seconds = max(monotonic() - self._refill_began, _FADES * self._refill_seconds)
        self._least = min(2 * candidates, LARGEST_BLOCK) if was_starved and not self._skips else 1

    def _sent_ahead(self, pace: float) -> int:
        return min(int(pace * max(_AHEAD_SECONDS, self._refill_seconds)) + 1, LARGEST_BLOCK)


def next_block(
    checked: Iterator[Candidate | Result], size: int
) -> tuple[list[Candidate | Result], OmnichatError | None]:
    """
    Take rows until so many of them can be sent.

    :param checked: the rows that are left.
    :param size: of the block.
    :return: the rows, and what kept it from reading on, so that no row that was read is lost.
    """
    block: list[Candidate | Result] = []
    try:
        for row in checked:
            block.append(row)
            size -= isinstance(row, Candidate) and row.wait is None
            if size <= 0 or len(block) >= LARGEST_BLOCK:
                break
    except OmnichatError as error:
        return block, error
    except Exception as error:  # whatever a file, a database or a network raises: what is sent must be recorded
        return block, ListFailedError(f"The list cannot be read to its end ({type(error).__name__})")
    return block, None
