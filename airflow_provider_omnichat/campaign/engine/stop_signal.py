"""How a campaign is asked to end early."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable


class StopSignal:
    """Can be set from any thread or signal handler, before the campaign begins, and more than once."""

    def __init__(self) -> None:
        self._is_set = False
        self._wake_ups: list[Callable[[], object]] = []

    def set(self) -> None:
        """Ask whoever waits, or will wait, to stop."""
        self._is_set = True
        for wake_up in tuple(self._wake_ups):
            with contextlib.suppress(RuntimeError):  # its event loop has ended
                wake_up()

    async def wait(self) -> None:
        """Return when it is set."""
        event, loop = asyncio.Event(), asyncio.get_running_loop()
        self._wake_ups.append(lambda: loop.call_soon_threadsafe(event.set))
        if not self._is_set:
            await event.wait()
