"""How fast invites leave: a ceiling that the user gives, and below it what the vendor lets through."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic

from airflow_provider_omnichat.api.retry import Backoff

_BELOW = 0.97
_SMALL_CUT = 0.9
_GROWTH = 0.02
_GROWTH_DOUBLES = 3.0
_FASTEST_GROWTH = 0.5
_SLOWEST = 0.2
_CATCH_UP = 0.02
_LOOK_AROUND = 0.25
_MANY_REFUSALS = 0.2
_SLOTS_A_SECOND = 10
_SECONDS = 10


class Pacer:
    """
    Gives out turns.

    Without a refusal the pace is the ceiling, or as fast as answers come. When the vendor says "too many requests", the
    pace becomes what it let through in its best second of the last ten, less 3 %, or, where it refuses many, what it
    lets through now. From there the pace grows by 2 % a second, and twice as fast with every three seconds without a
    refusal. Tasks that share an account do the same and settle near its limit without knowing of each other.

    :param rate_limit: invites a second at most; None for no ceiling.
    :param backoff: how long to pause when the vendor refuses again and again and does not say how long.
    :param clock: seconds that only go forward.
    """

    def __init__(
        self, rate_limit: float | None = None, backoff: Backoff | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        self._ceiling = rate_limit
        self._rate = rate_limit
        self._backoff = backoff or Backoff(budget=float("inf"))
        self._clock = clock
        self._flow = _Flow()
        self._next = 0.0
        self._paused_until = 0.0
        self._last_cut = 0.0
        self._flowing_since: float | None = None
        self._refusals_in_a_row = 0
        self._queue = asyncio.Lock()

    @property
    def rate(self) -> float | None:
        """Invites a second at the moment; None while nothing limits them."""
        return self._rate

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
                    if self._flowing_since is None:
                        self._flowing_since = now
                    if self._rate is not None:
                        # A sleep that took too long is made up for, by a few turns at most.
                        self._next = max(self._next, now - _CATCH_UP) + 1 / self._rate
                    return now
                await asyncio.sleep(min(wait, _LOOK_AROUND))
        return None

    def accepted(self) -> None:
        """Note that the vendor took an invite."""
        now = self._clock()
        self._refusals_in_a_row = 0
        self._flow.add(now, accepted=1)
        if self._rate is not None:
            # At a pace of r there are r of these a second, so that each adds its part of the second's growth.
            growth = min(_GROWTH * 2 ** ((now - self._last_cut) / _GROWTH_DOUBLES), _FASTEST_GROWTH)
            self._rate = min(self._rate + growth, self._ceiling or float("inf"))

    def refused(self, began: float, retry_after: float | None = None) -> None:
        """
        Note that the vendor had enough: 429, or 503 with ``Retry-After``.

        Refusals of requests that were under way together count once.

        :param began: what :meth:`turn` gave.
        :param retry_after: seconds that the vendor asked for; all invites wait, since the limit is the account's.
        """
        now = self._clock()
        self._flow.add(now, refused=1)
        if began >= self._last_cut:
            self._last_cut = now
            self._refusals_in_a_row += 1
            self._cut(now)
            if retry_after is None and self._refusals_in_a_row > 1:
                retry_after = self._backoff.delay(self._refusals_in_a_row, 0.0)
        if retry_after is not None:
            self._pause(now, retry_after)

    def unreachable(self, began: float) -> None:
        """
        Note that no connection came about: everybody waits, longer each time, and the pace stays.

        :param began: what :meth:`turn` gave.
        """
        now = self._clock()
        if began >= self._last_cut:
            self._last_cut = now
            self._refusals_in_a_row += 1
            self._pause(now, self._backoff.delay(self._refusals_in_a_row, 0.0) or 0.0)

    def _cut(self, now: float) -> None:
        begin = max(now - 1.0, self._flowing_since or 0.0)
        accepted, refused = self._flow.since(begin)
        let_through = accepted / max(now - begin, 1 / _SLOTS_A_SECOND)
        if self._rate is None:
            self._rate = max(_SLOWEST, _BELOW * let_through)
        elif refused > _MANY_REFUSALS * (accepted + refused):
            self._rate = max(_SLOWEST, min(self._rate, _BELOW * let_through if let_through else self._rate / 2))
        else:
            # A refusal now and then may have other reasons than the pace; slowing down for each would end in standstill.
            self._rate = min(self._rate, max(_BELOW * self._flow.best_second(now), _SMALL_CUT * self._rate))

    def _pause(self, now: float, seconds: float) -> None:
        self._paused_until = max(self._paused_until, now + seconds)
        self._flowing_since = None


class _Flow:
    """What was let through and what was refused, in tenths of a second, for the last ten seconds."""

    def __init__(self) -> None:
        self._slots: deque[list[int]] = deque(maxlen=_SECONDS * _SLOTS_A_SECOND)

    def add(self, now: float, accepted: int = 0, refused: int = 0) -> None:
        slot = int(now * _SLOTS_A_SECOND)
        if not self._slots or self._slots[-1][0] != slot:
            self._slots.append([slot, 0, 0])
        self._slots[-1][1] += accepted
        self._slots[-1][2] += refused

    def since(self, begin: float) -> tuple[int, int]:
        """What was accepted and what was refused since then."""
        first = int(begin * _SLOTS_A_SECOND)
        recent = [slot for slot in self._slots if slot[0] >= first]
        return sum(slot[1] for slot in recent), sum(slot[2] for slot in recent)

    def best_second(self, now: float) -> float:
        """The most that was accepted within one second."""
        first = int(now * _SLOTS_A_SECOND) - _SECONDS * _SLOTS_A_SECOND
        counts = {slot[0]: slot[1] for slot in self._slots if slot[0] > first}
        return float(max(sum(counts.get(end - back, 0) for back in range(_SLOTS_A_SECOND)) for end in counts))
