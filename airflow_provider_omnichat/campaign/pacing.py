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
_HELP_FOR_SLOW = 10.0
_CUT = 0.9
_MOST_BACKGROUND = 0.2
_FASTEST_GROWTH = 0.5
_HEAD_START = 12.0
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
        # While the pace is below what was let through, refusals should stop; these tell whether they do.
        self._let_through: float | None = None
        self._former_rate = self._rate
        self._former_share: float | None = None
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
                        self._begin_anew(now)
                    # A sleep that took too long is made up for, by a few turns at most.
                    self._next = max(self._next, now - _CATCH_UP) + 1 / self._rate
                    return now
                await asyncio.sleep(min(wait, _LOOK_AROUND))
        return None

    def accepted(self) -> None:
        """Note that the vendor let an invite through, whatever else it answered."""
        self._setbacks = 0
        self._accepted += 1
        self._wall = max(0.0, self._wall - _RELIEF)
        if self._rate < self._ceiling:
            # At a pace of r there are r of these a second, so that each adds its part of the second's growth.
            now = self._sending_time(self._clock())
            growth = _GROWTH * 2 ** ((now - self._growing_since) / _GROWTH_DOUBLES)
            self._rate = min(self._rate + min(growth, _FASTEST_GROWTH) * (1 + _HELP_FOR_SLOW / self._rate), self._ceiling)
        if self._let_through is not None and self._rate >= self._let_through:
            self._helped()
        if self._rate > _ANOTHER_PACE * self._counting_from_rate:
            self._count_anew(self._clock())

    def refused(self, began: float, retry_after: float | None = None) -> None:
        """
        Note that the vendor had enough: 429, or 503 with ``Retry-After``.

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
            elif self._counted(now) >= _ENOUGH_TIME and self._is_more_than_background():
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

    def _is_more_than_background(self) -> bool:
        expected = self._background * (self._accepted + self._refused)
        enough = 1 if self._let_through is None and not self._background else _EVIDENCE
        return self._refused >= enough and self._refused > expected + _SURE * sqrt(expected)

    def _slow_down_or_back(self, now: float) -> None:
        share = self._refused / (self._accepted + self._refused)
        if self._let_through is None:
            self._former_rate = self._rate
        elif self._former_share is not None and self._former_share / 2 <= share < _MOST_BACKGROUND:
            self._background = share
            self._rate = self._former_rate
            self._let_through = self._former_share = None
            self._change(now)
            return
        else:
            self._former_share = share
        # A pause counts, as the vendor's count goes on, but for little: where it does not, a pause is no lack of pace.
        self._slow_down(now, max(self._accepted / self._counted(now), min(self._rate * _CUT, self._accepted/max(self._sending_time(now)-self._counting_since_sending,0.01))))

    def _meet_wall(self, now: float, retry_after: float | None) -> None:
        if self._accepted:  # else it says nothing about how much would be
            if self._rate == self._ceiling or self._counted(now) >= _ENOUGH_TIME:
                # Who comes after a rest is let through at once what would be for a second.
                let_through = self._accepted / max(self._counted(now), _ENOUGH_TIME)
            else:
                let_through = self._rate * max(self._accepted / (self._accepted + self._refused), 0.5)
            self._slow_down(now, let_through)
            self._former_rate = self._rate
            self._former_share = None
            self._growing_since -= _HEAD_START
        else:
            self._change(now)
        if retry_after is None:
            self._pause_longer_each_time(now)

    def _slow_down(self, now: float, let_through: float) -> None:
        let_through = min(self._rate, let_through / (1 - self._background))
        self._let_through = let_through
        self._rate = max(_SLOWEST, _BELOW * let_through)
        self._change(now)

    def _helped(self) -> None:
        share = self._refused / (self._accepted + self._refused)
        if share < self._background / 2:
            self._background = share
        self._let_through = self._former_share = None

    def _change(self, now: float) -> None:
        self._changed = now
        self._begin_anew(now)

    def _begin_anew(self, now: float) -> None:
        self._growing_since = self._sending_time(now)
        self._count_anew(now)

    def _count_anew(self, now: float) -> None:
        self._counting_since = now
        self._counting_since_sending = self._sending_time(now)
        self._counting_from_rate = self._rate
        self._accepted = self._refused = 0

    def _counted(self, now: float) -> float:
        """Seconds of sending for which was counted."""
        return now - self._counting_since

    def _sending_time(self, now: float) -> float:
        return max(now, self._paused_until) - self._pauses

    def _pause_longer_each_time(self, now: float) -> None:
        self._setbacks += 1
        self._pause(now, self._backoff.delay(self._setbacks, 0.0) or 0.0)

    def _pause(self, now: float, seconds: float) -> None:
        until = max(self._paused_until, now + seconds)
        self._pauses += until - max(self._paused_until, now)
        self._paused_until = until
