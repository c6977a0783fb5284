"""How fast invites leave: a ceiling that the user gives, and below it what the vendor lets through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf, sqrt
from time import monotonic

from airflow_provider_omnichat.api.retry import Backoff

_BELOW = 0.95
_GROWTH = 0.0015
_GROWTH_DOUBLES = 2.5
_HELP_FOR_SLOW = 50.0
_CUT = 0.9
_BACKGROUND_LASTS = 30.0
_SHORT = 0.01
_TRIAL = 10
_MOST_BACKGROUND = 0.2
_FASTEST_GROWTH = 0.15
_HEAD_START = 5.0
_SLOWEST = 0.2
_CATCH_UP = 0.02
_LOOK_AROUND = 0.25
_ENOUGH_TIME = 1.0
_ANOTHER_PACE = 1.25
_WALL = 10.0
_RELIEF = 0.5
_EVIDENCE = 4
_SURE = 4.0


class Pacer:
    """
    Gives out turns.

    Without a refusal the pace is the ceiling, or as fast as answers come. Each time the vendor says "too many requests",
    the pace becomes what it let through since the time before, less 5 %: whatever the vendor counts with, that is what it
    has to give. From there the pace grows, first by 0.25 % a second, and twice as fast with every three seconds, so that a
    limit is met seldom and a change of it is found soon. Tasks that share an account do the same and settle near its limit
    without knowing of each other: who is fast is refused more often.

    Not every refusal has to do with the pace. Where the vendor goes on refusing as large a share after two such steps, each
    to below what it let through, slowing down does not help: the former pace comes back, and that share is background from
    then on, above which alone refusals count.

    Where it refuses more than a third, it is a wall: everybody waits, longer each time, until something is taken again.

    :param rate_limit: invites a second at most; None for no ceiling.
    :param backoff: how long to wait when nothing is taken and the vendor does not say how long.
    :param clock: seconds that only go forward.
    """

    def __init__(
        self, rate_limit: float | None = None, backoff: Backoff | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        self._ceiling = rate_limit or inf
        self._rate = self._ceiling
        self._backoff = backoff or Backoff(budget=inf)
        self._clock = clock
        self._queue = asyncio.Lock()
        self._next = 0.0
        self._paused_until = 0.0
        self._setbacks = 0
        self._wall = 0.0
        self._background = 0.0
        self._background_since = 0.0
        self._limit = inf
        self._former_rate = self._rate
        self._former_share = 0.0
        self._futile = 0
        self._trial_length = 0.0
        self._counting_since_sending = 0.0
        # Of the time in which turns are given, without the pauses: since when the pace grows, and since when we count.
        self._pauses = 0.0
        self._growing_since = inf
        self._counting_since = inf
        self._counting_from_rate = self._rate
        self._accepted = 0
        self._refused = 0
        self._changed = -inf

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
        self._wall = max(0.0, min(self._wall - _RELIEF, self._wall * 0.75 if self._wall > 5 else 9))
        if self._trial_length:
            if self._accepted + self._refused >= self._trial_length and now - self._counting_since >= _ENOUGH_TIME:
                self._end_trial(now)
        elif self._rate < self._ceiling:
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
            elif now - self._counting_since >= _ENOUGH_TIME and not self._trial_length:
                if retry_after is not None:
                    self._slow_down(now, self._let_through_lately(now))
                elif self._is_more_than_background(now):
                    self._slow_down_or_try(now)
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
        growth = _GROWTH * 2**doublings * sqrt(_HELP_FOR_SLOW / self._rate)
        self._rate = min(self._rate + min(growth, _FASTEST_GROWTH), self._ceiling)
        if self._rate >= self._limit:
            self._limit = inf
            self._futile = 0
        if self._rate > _ANOTHER_PACE * self._counting_from_rate:
            self._count_anew(now)

    def _is_more_than_background(self, now: float) -> bool:
        if now - self._background_since > _BACKGROUND_LASTS:
            self._background = 0.0
        expected = self._background * (self._accepted + self._refused)
        enough = _EVIDENCE if self._background or self._limit < inf else 1
        return self._refused >= enough and self._refused > expected + _SURE * sqrt(expected)

    def _slow_down_or_try(self, now: float) -> None:
        if self._limit == inf:
            self._former_rate = self._rate
            self._slow_down(now, self._let_through_lately(now))
            return
        # It is slower than what was let through, and still refused.
        self._former_share = self._refused / (self._accepted + self._refused)
        self._slow_down(now, self._let_through_lately(now))
        self._futile += 1
        if self._futile > 1 and self._former_share < _MOST_BACKGROUND:
            self._trial_length = _TRIAL / self._former_share
            self._rate = max(_SLOWEST, self._rate / 2)

    def _end_trial(self, now: float) -> None:
        share = self._refused / (self._accepted + self._refused)
        self._trial_length = 0.0
        if self._former_share / 2 <= share < _MOST_BACKGROUND:
            self._background = share
            self._background_since = now
            self._rate = self._former_rate
            self._limit = inf
        else:
            self._rate = max(_SLOWEST, _BELOW * self._limit)
        self._change(now)

    def _let_through_lately(self, now: float) -> float:
        # The vendor's count goes on in a pause, or not: the pause is counted, but for a tenth at most.
        while_sending = self._accepted / max(self._sending_time(now) - self._counting_since_sending, _SHORT)
        return max(self._accepted / (now - self._counting_since), min(while_sending, _CUT * self._rate))

    def _meet_wall(self, now: float, retry_after: float | None) -> None:
        elapsed = now - self._counting_since
        if not self._accepted:  # says nothing about how much would be
            self._change(now)
        elif self._rate == self._ceiling or elapsed >= _ENOUGH_TIME:
            # Who comes after a rest is let through at once what would be for a second.
            self._slow_down(now, self._accepted / max(elapsed, _ENOUGH_TIME))
        else:
            self._slow_down(now, self._rate * max(self._accepted / (self._accepted + self._refused), 0.5))
        self._former_rate = self._rate
        self._growing_since -= _HEAD_START
        if retry_after is None:
            self._pause_longer_each_time(now)

    def _slow_down(self, now: float, let_through: float) -> None:
        self._limit = min(self._rate, let_through / (1 - self._background))
        self._rate = max(_SLOWEST, _BELOW * self._limit)
        self._trial_length = 0.0
        self._change(now)

    def _change(self, now: float) -> None:
        self._changed = now
        self._growing_since = self._sending_time(now)
        self._count_anew(now)

    def _count_anew(self, now: float) -> None:
        self._counting_since = now
        self._counting_since_sending = self._sending_time(now)
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
