"""Calls that block, outside of the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class WorkerThread:
    """One thread that takes calls in the order in which they come."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, name)

    async def call(self, function: Callable[..., T], *args: object) -> T:
        """Call in the thread; a call that was asked for is made, also when the caller is cancelled meanwhile."""
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._pool, function, *args))

    def close(self) -> None:
        """Take no more calls; that under way is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)
