"""How fast invites leave: a ceiling that the user gives, and below it what the vendor lets through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from math import inf, sqrt
from time import monotonic

from airflow_provider_omnichat.api.retry import Backoff

# A step: to so much of what was let through; what a step may cost at most; seconds that are enough to measure.
_BELOW = 0.95
_SMALL_STEP = 0.85
_ENOUGH_TIME = 1.0
_SLOWEST = 0.2
# Growth a second at a pace of _EVEN, more below and less above; doubling; seconds that it is ahead after a wall.
_GROWTH = 0.0015
_EVEN = 50.0
_GROWTH_DOUBLES = 2.5
_FASTEST_GROWTH = 0.15
_HEAD_START = 5.0
_ANOTHER_PACE = 1.25
# A wall: so many more refused than half of what is accepted meanwhile.
_WALL = 10.0
_RELIEF = 0.5
# Background: learned from so many refusals at both paces, if at the slower one so much of the share remains.
_MANY = 10
_MUCH_SLOWER = 0.7
_AS_BAD = 0.6
_HELPED = 3.0
_MOST_BACKGROUND = 0.2
_BACKGROUND_LASTS = 30.0
_SOME = 4
_SURE = 4.0
# Waiting, in seconds.
_CATCH_UP = 0.02
_LOOK_AROUND = 0.25


@dataclass(frozen=True, slots=True)
class _Count:
    accepted: int = 0
    refused: int = 0

    def plus(self, accepted: int, refused: int) -> _Count:
        return _Count(self.accepted + accepted, self.refused + refused)

    @property
    def share(self) -> float:
        return self.refused / max(1, self.accepted + self.refused)


class Pacer:
    """
    Gives out turns.

    Without a refusal the pace is the ceiling, or as fast as answers come. When the vendor says "too many requests", the
    pace becomes what it let through since the step before, less 5 %: whatever the vendor counts with, that is what it
    has to give. From there the pace grows, slowly at first and twice as fast with every 2.5 seconds, so that a limit is
    met seldom and a change of it is found soon. Tasks that share an account do the same and settle near its limit
    without knowing of each other: who is fast is refused more often and grows less.

    Not every refusal has to do with the pace. Where step follows step until the pace is much slower, and the share of
    refusals is not, slowing down does not help: the former pace comes back, and that share is background for half a
    minute, above which alone refusals count.

    Where most is refused, it is a wall: everybody waits, longer each time, until something is accepted again.

    :param rate_limit: invites a second at most; None for no ceiling.
    :param backoff: how long to wait when nothing is taken and the vendor does not say how long.
    :param clock: seconds that only go forward.
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
        self._setbacks = 0
        self._wall = 0.0
        # What was let through before the pace went below it; inf once the pace is back there.
        self._limit = inf
        # Seconds of pauses so far; the time without them is what the pace grows in.
        self._pauses = 0.0
        self._growing_since = inf
        # The round, from one step to the next.
        self._changed = -inf
        self._counting_since = inf
        self._counting_from_rate = self._rate
        self._accepted = 0
        self._refused = 0
        # Refusals that have nothing to do with the pace, and what tells them from others.
        self._background = 0.0
        self._background_since = 0.0
        self._before = self._after = _Count()
        self._former_rate = self._rate
        self._begin_to_compare(self._rate)

    @property
    def rate(self) -> float | None:
        """Invites a second at the moment; None while nothing limits them."""
        return self._rate if self._rate < inf else None

    async def turn(self, stopped: asyncio.Event) -> float | None:
        """
        Wait for a turn.

        :param stopped: ends the wait.
        :return: the time at which the turn begins, to be given back with a refusal; None when *stopped* came first.
        """
        async with self._queue:
            while not stopped.is_set():
                now = self._clock()
                wait = max(self._paused_until, self._next) - now
                if wait <= 0:
                    if self._counting_since == inf:
                        self._growing_since = self._sending_time(now)
                        self._count_anew(now)
                    # A sleep that took too long is made up for, by a few turns at most.
                    self._next = max(self._next, now - _CATCH_UP) + 1 / self._rate
                    return now
                await asyncio.sleep(min(wait, _LOOK_AROUND))
        return None

    def accepted(self) -> None:
        """Note that the vendor let an invite through, whatever else it answered."""
        now = self._clock()
        self._setbacks = 0
        self._accepted += 1
        self._wall = max(0.0, self._wall - max(_RELIEF, self._wall / 4 if self._wall > _WALL / 2 else 0.0))
        if self._rate < self._ceiling:
            self._grow(now)

    def refused(self, began: float, retry_after: float | None = None) -> None:
        """
        Note that the vendor had enough, which it says with 429.

        Requests that were under way when the pace changed say nothing about the new one.

        :param began: what :meth:`turn` gave.
        :param retry_after: seconds that the vendor asked for; all invites wait, since the limit is the account's.
        """
        now = self._clock()
        if began > self._changed:
            self._refused += 1
            self._wall = min(_WALL, self._wall + 1)
            if self._wall == _WALL:
                self._meet_wall(now, retry_after)
            elif now - self._counting_since >= _ENOUGH_TIME:
                if retry_after is not None:
                    self._slow_down(now, self._let_through_lately(now))
                elif self._is_more_than_background(now):
                    self._slow_down_or_back(now)
        if retry_after is not None:
            self._pause(now, retry_after)

    def unreachable(self, began: float, retry_after: float | None = None) -> None:
        """
        Note that no connection came about, or 503 with ``Retry-After``: everybody waits, and the pace stays.

        :param began: what :meth:`turn` gave.
        :param retry_after: seconds that the vendor asked for; without it the wait is longer each time.
        """
        now = self._clock()
        if retry_after is not None:
            self._pause(now, retry_after)
        elif began > self._changed:
            self._change(now)
            self._pause_longer_each_time(now)

    def _grow(self, now: float) -> None:
        doublings = (self._sending_time(now) - self._growing_since) / _GROWTH_DOUBLES
        # At a pace of r there are r of these a second, so that each adds its part of the second's growth.
        growth = _GROWTH * 2 ** min(doublings, 30) * sqrt(_EVEN / self._rate)
        self._rate = min(self._rate + min(growth, _FASTEST_GROWTH), self._ceiling)
        if self._rate >= self._limit:
            self._limit = inf
        if self._rate > _ANOTHER_PACE * self._counting_from_rate:
            self._count_anew(now)

    def _is_more_than_background(self, now: float) -> bool:
        if now - self._background_since > _BACKGROUND_LASTS:
            self._background = 0.0
        expected = self._background * (self._accepted + self._refused)
        enough = _SOME if self._background else 1
        return self._refused >= enough and self._refused > expected + _SURE * sqrt(expected)

    def _slow_down_or_back(self, now: float) -> None:
        let_through = self._let_through_lately(now)
        if self._limit == inf or now - self._counting_since > _HELPED:
            if self._limit == inf:
                self._former_rate = self._rate
            self._begin_to_compare(min(self._rate, let_through))
        elif self._rate > self._much_slower:
            self._before = self._before.plus(self._accepted, self._refused)
        else:
            self._after = self._after.plus(self._accepted, self._refused)
        if self._after.refused >= _MANY:
            if self._before.refused >= _MANY and _AS_BAD * self._before.share <= self._after.share < _MOST_BACKGROUND:
                self._go_back(now)
                return
            self._much_slower *= _MUCH_SLOWER
            self._before, self._after = self._after, _Count()
        self._slow_down(now, let_through)

    def _begin_to_compare(self, pace: float) -> None:
        self._much_slower = _MUCH_SLOWER * pace
        self._before = self._after = _Count()

    def _go_back(self, now: float) -> None:
        self._background = self._after.share
        self._background_since = now
        self._rate = self._former_rate
        self._limit = inf
        self._change(now)

    def _let_through_lately(self, now: float) -> float:
        # Few invites are a bad measure, and who waited for a pause was not slow: one step is never a large one.
        let_through = self._accepted / (now - self._counting_since)
        return let_through if self._rate == inf else max(let_through, _SMALL_STEP * self._rate)

    def _meet_wall(self, now: float, retry_after: float | None) -> None:
        if self._accepted:  # else it says nothing about how much would be
            # Who comes after a rest is let through at once what would be for a second.
            let_through = self._accepted / max(now - self._counting_since, _ENOUGH_TIME)
            if self._rate < self._ceiling:
                let_through = max(let_through, self._rate * _SMALL_STEP)
            self._slow_down(now, let_through)
            self._growing_since -= _HEAD_START
        else:
            self._change(now)
        self._former_rate = self._rate
        self._begin_to_compare(self._rate)
        if retry_after is None:
            self._pause_longer_each_time(now)

    def _slow_down(self, now: float, let_through: float) -> None:
        self._limit = min(self._rate, let_through / (1 - self._background))
        self._rate = max(_SLOWEST, _BELOW * self._limit)
        self._change(now)

    def _change(self, now: float) -> None:
        self._changed = now
        self._growing_since = self._sending_time(now)
        self._count_anew(now)

    def _count_anew(self, now: float) -> None:
        self._counting_since = now
        self._counting_from_rate = self._rate
        self._accepted = self._refused = 0

    def _sending_time(self, now: float) -> float:
        """Seconds without the pauses."""
        return max(now, self._paused_until) - self._pauses

    def _pause_longer_each_time(self, now: float) -> None:
        self._setbacks += 1
        self._pause(now, self._backoff.delay(self._setbacks, 0.0) or 0.0)

    def _pause(self, now: float, seconds: float) -> None:
        until = max(self._paused_until, now + seconds)
        self._pauses += until - max(self._paused_until, now)
        self._paused_until = until
