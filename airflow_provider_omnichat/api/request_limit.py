"""A limit of the vendor on requests within a time, kept from this side."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from time import monotonic


class RequestLimit:
    """
    Lets so many requests through within any stretch of time.

    :param requests: at most.
    :param seconds: the stretch of time.
    :param clock: seconds that only go forward.
    :param sleep: waits so many seconds of *clock*.
    """

    def __init__(
        self,
        requests: int,
        seconds: float,
        clock: Callable[[], float] = monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._seconds = seconds
        self._answered: deque[float] = deque(maxlen=requests)
        self.clock = clock
        self.sleep = sleep

    async def wait(self) -> None:
        """Wait until another request may leave."""
        if len(self._answered) == self._answered.maxlen:
            left = self._answered[0] + self._seconds - self.clock()
            if left > 0:
                await self.sleep(left)

    def count(self) -> None:
        """
        Count a request, once it is answered.

        It has reached the vendor by then, and not before it left: the distance to a later one is never overrated.
        """
        self._answered.append(self.clock())
