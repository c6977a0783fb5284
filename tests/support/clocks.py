"""A clock that goes forward only while somebody waits by it: an hour takes no time."""

from __future__ import annotations

import asyncio


class SkippingClock:
    """Seconds; ``sleep`` skips them."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)
