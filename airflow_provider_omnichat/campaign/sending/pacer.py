"""How fast invites leave: the user's ceiling, and below it what the vendor accepts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from math import inf, sqrt
from time import monotonic

from airflow_provider_omnichat.api.retry import Backoff

# The start: this many requests at first, more with each that is accepted, until this many were.
_FIRST = 4
_MORE = 0.25
_STARTED = 100
# Each refusal adds 1 to the score, each acceptance takes this away: refusals below 7 % leave no lasting trace.
_DRAIN = 0.08
# A step when the score passes 1 + this * sqrt(pace): chance deviates further when more is sent.
_BOUND = 0.5
_STEP = 0.6
# A wall, this many refusals in a row, shows that the pace is only a little too high.
_WALL = 6
_STEP_AT_WALL = 0.85
# The least time between two steps: of tasks that share an account, the slowest must not slow down for the others. After
# a wall it is shorter: a token bucket's savings were accepted first, and made the pace look too high.
_BETWEEN_STEPS_SECONDS = 8.0
_AFTER_WALL_SECONDS = 2.0
_SLOWEST = 0.2
_NOTHING_KNOWN = 2.0
# Growth: sqrt(pace after the step) * (seconds since the step / this) ** 2 invites a second.
_GROWTH_SECONDS = 12.0
_REST_SECONDS = 0.1
_CATCH_UP_SECONDS = 0.02
_LOOK_AROUND_SECONDS = 0.25


class Pacer:
    """
    Decides when the next request may begin: gives out turns.

    Without a refusal the pace is the ceiling, or as fast as answers come. Only the first few invites wait for others'
    answers, so that a small account is not flooded.

    A limit refuses nearly everything above it for as long as the pace is too high; a busy server refuses a few at any
    pace. So single refusals change nothing. They add up in a score, which acceptances drain. If the score shows that
    more than 7 % are refused, or many in a row are, the pace takes a step down, and all requests wait for as long as
    the vendor asked. Then the pace grows, slowly at first and faster with time, in proportion to its square root. So
    tasks on one account reach similar shares without talking to each other: the faster one is refused more often, takes
    larger steps and grows less in proportion.

    When nothing but failures comes back, all requests wait, longer each time, until one is accepted again.

    :param rate_limit: the most invites a second; None for no ceiling.
    :param backoff: how long to wait when nothing is accepted and the vendor does not say how long.
    :param clock: monotonic seconds.
    """

    def __init__(
        self, rate_limit: float | None = None, backoff: Backoff | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        self._ceiling = inf if rate_limit is None else rate_limit
        self._rate = self._ceiling
        self._backoff = backoff or Backoff(budget=inf)
        self._clock = clock
        self._queue = asyncio.Lock()
        self._next = 0.0
        self._paused_until = 0.0
        self._is_held = False
        self._setbacks = 0
        # The start ends with the first step, or when enough was accepted.
        self._starting = True
        self._sent = 0
        self._heard = asyncio.Event()
        # The pace after the step, and since when it grows; time without anything to send does not count.
        self._grows_from = self._rate
        self._growing_since = 0.0
        # Since the last change: requests that began before it tell nothing about the new pace.
        self._changed = -inf
        self._counting_since = inf
        self._accepted = 0
        self._score = 0.0
        self._failed_in_a_row = 0
        self._was_wall = False

    @property
    def rate(self) -> float | None:
        """The current pace in invites a second; None while it is not limited."""
        return self._rate if self._rate < inf else None

    async def turn(self, stopped: asyncio.Event) -> float | None:
        """Wait for a turn, and return when it begins, for :meth:`refused`; return None if *stopped* is set first."""
        began = self.turn_at_once(stopped)
        if began is not None:
            return began
        async with self._queue:
            while not stopped.is_set():
                now = self._clock()
                self._heard.clear()
                wait = self._take(now)
                if wait <= 0:
                    return now
                await self._wait(min(wait, _LOOK_AROUND_SECONDS))
        return None

    def turn_at_once(self, stopped: asyncio.Event) -> float | None:
        """Take a turn without waiting, as :meth:`turn`; return None if there is none."""
        if self._queue.locked() or stopped.is_set():
            return None
        now = self._clock()
        return now if self._take(now) <= 0 else None

    async def _wait(self, seconds: float) -> None:
        if not self._starting:
            await asyncio.sleep(seconds)
            return
        with suppress(TimeoutError):  # an answer may come first
            async with asyncio.timeout(seconds):
                await self._heard.wait()

    def hold(self, is_held: bool) -> None:
        """Give out no turns until called with False."""
        self._is_held = is_held

    def accepted(self) -> None:
        """Note that an invite got past the limit on requests, whatever the answer."""
        self._accepted += 1
        self._heard.set()
        self._failed_in_a_row = self._setbacks = 0
        if self._score:
            self._score = max(0.0, self._score - _DRAIN)
        if self._rate < self._ceiling:
            growing = max(0.0, self._clock() - self._growing_since)
            growth = sqrt(self._grows_from) * (growing / _GROWTH_SECONDS) ** 2
            self._rate = min(self._grows_from + growth, self._ceiling)

    def unanswered(self) -> None:
        """Note that an invite ended without an answer: it tells nothing about the pace, and none is expected."""
        self._sent -= 1
        self._heard.set()

    def refused(self, began: float, retry_after: float | None = None) -> None:
        """Note a 429 of a request whose turn *began* then; if the pace was too high, all wait for *retry_after*."""
        if began <= self._changed:
            return
        now = self._clock()
        self._failed_in_a_row += 1
        self._score += 1
        is_wall = self._failed_in_a_row >= _WALL
        if is_wall and not self._accepted and self._rate < inf:
            self._pause_longer_each_time(now, retry_after)
        elif is_wall or self._is_too_fast(now):
            self._was_wall = is_wall
            self._change(now, max(_SLOWEST, (_STEP_AT_WALL if is_wall else _STEP) * self._pace(now)))
            # Long enough for the rest of a window, or a few tokens of a bucket.
            self._pause(now, _REST_SECONDS if retry_after is None else retry_after)

    def unreachable(self, began: float, retry_after: float | None = None) -> None:
        """
        Note a failed connection, or a 503 with ``Retry-After``: it tells nothing about the pace.

        If nothing else comes back, all requests wait, as after a 429; see :meth:`refused`.
        """
        if began <= self._changed:
            return
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= _WALL:
            self._pause_longer_each_time(self._clock(), retry_after)

    def _take(self, now: float) -> float:
        """Take a turn and return 0, or return the seconds until there may be one."""
        if self._is_held:
            return _LOOK_AROUND_SECONDS
        wait = max(self._paused_until, self._next) - now
        if wait > 0:
            return wait
        if self._starting and not self._may_start_another(now):
            return _LOOK_AROUND_SECONDS
        late = now - self._next
        if late > _CATCH_UP_SECONDS:
            # A sleep that took too long is made up for, but only by a few turns.
            self._next = now - _CATCH_UP_SECONDS
            self._growing_since += late
        self._next += 1 / self._rate
        return 0.0

    def _may_start_another(self, now: float) -> bool:
        if self._counting_since == inf:
            self._counting_since = now
        if self._accepted >= _STARTED:
            self._starting = False
        # More with time: an invite without an answer must not hold up the others.
        elif self._sent >= _FIRST * (1 + now - self._counting_since) + (1 + _MORE) * self._accepted:
            return False
        self._sent += 1
        return True

    def _pace(self, now: float) -> float:
        if self._rate < inf:
            return self._rate
        # After a pause, the vendor accepts at once what would otherwise be spread over a second.
        return max(_NOTHING_KNOWN, self._accepted / max(now - self._counting_since, 1.0))

    def _is_too_fast(self, now: float) -> bool:
        # In the first seconds only a wall counts: few answers are a bad measure.
        wait = _AFTER_WALL_SECONDS if self._was_wall else _BETWEEN_STEPS_SECONDS
        is_settled = now - self._counting_since >= wait
        return is_settled and self._score >= 1 + _BOUND * sqrt(self._pace(now))

    def _change(self, now: float, rate: float) -> None:
        self._rate = self._grows_from = rate
        self._changed = self._counting_since = self._growing_since = now
        self._accepted = 0
        self._score = 0.0
        self._starting = False

    def _pause_longer_each_time(self, now: float, retry_after: float | None) -> None:
        self._change(now, self._rate)
        self._setbacks += 1
        self._pause(now, retry_after or self._backoff.delay(self._setbacks, 0.0) or 0.0)

    def _pause(self, now: float, seconds: float) -> None:
        self._paused_until = max(self._paused_until, now + seconds)
