"""Clocks that advance only when something waits for them, or a test advances them: an hour takes no time."""

from __future__ import annotations

import asyncio
import time


class SkippingClock:
    """Seconds; ``sleep`` skips them."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


class SetClock:
    """In place of the module ``time``: goes forward when the test says so."""

    def __init__(self) -> None:
        self.now = time.time()

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
