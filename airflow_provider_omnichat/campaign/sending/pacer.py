"""How fast invites leave: a ceiling that the user gives, and below it what the vendor lets through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from math import inf, sqrt
from time import monotonic

from airflow_provider_omnichat.api.retry import Backoff

# The start: requests under way at first, more of them with each that is accepted, until so many were.
_FIRST = 4
_MORE = 0.25
_STARTED = 100
# A step: to so much of what was let through, which is taken for so much of the pace at least; seconds between two.
_BELOW = 0.95
_SMALL_STEP = 0.95
_BETWEEN = 1.0
_SLOWEST = 0.2
_NOTHING_KNOWN = 2.0
# Growth: (seconds since the step / 7) ** 5 invites a second.
_GROWTH_TIME = 7.0
_GROWTH_POWER = 5
# A wall: so many refusals in a row. After it, or soon after a step, so much of the pace is the least.
_WALL = 6
_LARGE_STEP = 0.7
# Background: learned from so many refusals at both paces, if at half the pace so much of the share remains.
_MANY = 10
_MUCH_SLOWER = 0.5
_AS_BAD = 0.6
_HELPED = 3.0
_MOST_BACKGROUND = 0.2
_BACKGROUND_LASTS = 30.0
_SOME = 4
_SURE = 4.0
# Waiting, in seconds.
_REST = 0.1
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

    The law is that of H-TCP: a small step down when the vendor says "too many requests", then a growth that depends on
    nothing but the time since then, slow at first and soon steep.

    Without a refusal the pace is the ceiling, or as fast as answers come; only the first few invites wait for answers
    to others, so that a small account is not flooded. A refusal makes the pace what was let through since the step
    before, less 5 %. The growth that follows is as many invites a second for all, however fast they are, so that
    tasks that share an account come to similar shares without knowing of each other: who is fast is refused more
    often, and grows less.

    Not every refusal has to do with the pace. Where step follows step until the pace is half, and the share of refusals
    is not, slowing down does not help: the former pace comes back, and that share is background for half a minute,
    above which alone refusals count.

    Where all is refused, it is a wall: everybody waits, longer each time, until something is accepted again.

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
        self._is_held = False
        self._setbacks = 0
        # The start ends with the first step, or when enough was accepted.
        self._starting = True
        self._sent = 0
        self._heard = asyncio.Event()
        # The pace after the step, and since when it grows; time in which there was nothing to send does not count.
        self._grows_from = self._rate
        self._growing_since = 0.0
        # The round, from one step to the next.
        self._changed = -inf
        self._counting_since = inf
        self._accepted = 0
        self._refused = 0
        self._refused_in_a_row = 0
        # Refusals that have nothing to do with the pace, and what tells them from others.
        self._background = 0.0
        self._background_since = 0.0
        self._before = self._after = _Count()
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
                await self._wait(min(wait, _LOOK_AROUND))
        return None

    def turn_at_once(self, stopped: asyncio.Event) -> float | None:
        """
        Take a turn if there is one at this moment.

        :param stopped: no turn when it is set.
        :return: what :meth:`turn` gives; None when a turn must be waited for.
        """
        if self._queue.locked() or stopped.is_set():
            return None
        now = self._clock()
        return now if self._take(now) <= 0 else None

    async def _wait(self, seconds: float) -> None:
        if not self._starting:
            await asyncio.sleep(seconds)
            return
        with suppress(TimeoutError):  # what is waited for is an answer
            async with asyncio.timeout(seconds):
                await self._heard.wait()

    def hold(self, is_held: bool) -> None:
        """
        Give out no turns for a while.

        :param is_held: False to go on.
        """
        self._is_held = is_held

    def accepted(self) -> None:
        """Note that the vendor let an invite through, whatever else it answered."""
        self._accepted += 1
        self._heard.set()
        self._refused_in_a_row = 0
        self._setbacks = 0
        if self._rate < self._ceiling:
            growing = max(0.0, self._clock() - self._growing_since)
            self._rate = min(self._grows_from + (growing / _GROWTH_TIME) ** _GROWTH_POWER, self._ceiling)

    def unanswered(self) -> None:
        """Note that an invite ended and nobody knows how: it says nothing of the pace, and is no longer waited for."""
        self._sent -= 1
        self._heard.set()

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
            self._refused_in_a_row += 1
            # Without a pace, the first pause would be followed by another flood.
            at_once = retry_after is not None and self._rate == inf
            if self._refused_in_a_row >= _WALL:
                self._meet_wall(now, retry_after)
            elif at_once or now - self._counting_since >= _BETWEEN:
                if retry_after is not None:
                    self._slow_down(now, _SMALL_STEP)
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
            self._change(now, self._rate)
            self._pause_longer_each_time(now)

    def _take(self, now: float) -> float:
        """Take a turn, or give the seconds until there may be one."""
        if self._is_held:
            return _LOOK_AROUND
        wait = max(self._paused_until, self._next) - now
        if wait > 0:
            return wait
        if self._starting and not self._may_start_another(now):
            return _LOOK_AROUND
        late = now - self._next
        if late > _CATCH_UP:
            # A sleep that took too long is made up for, by a few turns at most.
            self._next = now - _CATCH_UP
            self._growing_since += late
        self._next += 1 / self._rate
        return 0.0

    def _may_start_another(self, now: float) -> bool:
        if self._counting_since == inf:
            self._counting_since = now
        if self._accepted >= _STARTED:
            self._starting = False
        # With the time, too: an invite of which nothing is heard must not hold up the others.
        elif self._sent >= _FIRST * (1 + now - self._counting_since) + (1 + _MORE) * self._accepted:
            return False
        self._sent += 1
        return True

    def _is_more_than_background(self, now: float) -> bool:
        if now - self._background_since > _BACKGROUND_LASTS:
            self._background = 0.0
        expected = self._background * (self._accepted + self._refused)
        enough = _SOME if self._background else 1
        return self._refused >= enough and self._refused > expected + _SURE * sqrt(expected)

    def _slow_down_or_back(self, now: float) -> None:
        if now - self._changed > _HELPED:
            self._begin_to_compare(self._let_through(now, _SMALL_STEP))
        if self._rate > self._much_slower:
            self._before = self._before.plus(self._accepted, self._refused)
        else:
            self._after = self._after.plus(self._accepted, self._refused)
        if self._after.refused >= _MANY:
            if self._before.refused >= _MANY and _AS_BAD * self._before.share <= self._after.share < _MOST_BACKGROUND:
                self._background = self._after.share
                self._background_since = now
                self._change(now, self._former_rate)
                return
            self._much_slower *= _MUCH_SLOWER
            self._before, self._after = self._after, _Count()
        # Refusals that go on a second after a step tell what is let through, and that the step was too small.
        self._slow_down(now, _SMALL_STEP if now - self._changed > _HELPED else _LARGE_STEP)

    def _begin_to_compare(self, pace: float) -> None:
        self._former_rate = self._rate
        self._much_slower = _MUCH_SLOWER * pace
        self._before = self._after = _Count()

    def _meet_wall(self, now: float, retry_after: float | None) -> None:
        if self._accepted or self._rate == inf:
            self._slow_down(now, _LARGE_STEP)
        else:  # it says nothing about how much would be
            self._change(now, self._rate)
        self._begin_to_compare(self._rate)
        if retry_after is None:
            self._pause_longer_each_time(now)

    def _slow_down(self, now: float, at_least: float) -> None:
        self._change(now, max(_SLOWEST, _BELOW * self._let_through(now, at_least)))
        self._pause(now, _REST)  # what is left of a window, or a few tokens of a bucket

    def _let_through(self, now: float, at_least: float) -> float:
        # Who comes after a rest is let through at once what would be for a second.
        measured = self._accepted / max(now - self._counting_since, 1.0) / (1 - self._background)
        if self._rate == inf:
            return max(measured, _NOTHING_KNOWN)
        # Few invites are a bad measure, and who waited for a pause was not slow: one step is never a large one.
        return min(self._rate, max(measured, at_least * self._rate))

    def _change(self, now: float, rate: float) -> None:
        self._rate = self._grows_from = rate
        self._changed = self._counting_since = self._growing_since = now
        self._accepted = self._refused = self._refused_in_a_row = 0
        self._starting = False

    def _pause_longer_each_time(self, now: float) -> None:
        self._setbacks += 1
        self._pause(now, self._backoff.delay(self._setbacks, 0.0) or 0.0)

    def _pause(self, now: float, seconds: float) -> None:
        self._paused_until = max(self._paused_until, now + seconds)
