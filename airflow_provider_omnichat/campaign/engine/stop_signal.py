"""How a campaign is asked to end early."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable


class StopSignal:
    """Can be set from any thread or signal handler, before the campaign begins, and more than once."""

    def __init__(self) -> None:
        self._is_set = False
        self._listeners: list[Callable[[], object]] = []

    def set(self) -> None:
        """Ask whoever listens, or will listen, to stop."""
        self._is_set = True
        for listener in tuple(self._listeners):
            with contextlib.suppress(RuntimeError):  # its event loop has ended
                listener()

    def listen(self, listener: Callable[[], object]) -> None:
        """
        Be called when it is set; at once if it is.

        :param listener: may be called from any thread, and more than once.
        """
        self._listeners.append(listener)
        if self._is_set:
            listener()

    async def wait(self) -> None:
        """Return when it is set."""
        event, loop = asyncio.Event(), asyncio.get_running_loop()
        self.listen(lambda: loop.call_soon_threadsafe(event.set))
        await event.wait()
