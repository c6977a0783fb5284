"""
A campaign inside an Airflow process: beside the main thread, asked to stop by signals, and rarely garbage-collected.

Airflow ends a task by a signal, and what its handler raises (``execution_timeout``, SIGTERM on older versions) comes up
in the main thread, wherever that is. In an event loop it would tear requests apart; here it only wakes a wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from airflow_provider_omnichat.api import event_loop

T = TypeVar("T")

GRACE_SECONDS = 3.5
"""How long requests under way may take to end when a campaign is stopped."""

_LAST_WRITES_SECONDS = 3.0
_LOOK_EVERY_SECONDS = 0.02
_YOUNG_OBJECTS = 20_000


class StopSignal:
    """Asks a campaign to end early: from any thread or signal handler, before it begins, and more than once."""

    def __init__(self) -> None:
        self._is_set = False
        self._listeners: list[Callable[[], object]] = []

    def set(self) -> None:
        """Call all listeners, now and in the future."""
        self._is_set = True
        for listener in tuple(self._listeners):
            with contextlib.suppress(RuntimeError):  # its event loop has ended
                listener()

    def listen(self, listener: Callable[[], object]) -> None:
        """Call *listener* when the signal is set, at once if it is; from any thread, possibly more than once."""
        self._listeners.append(listener)
        if self._is_set:
            listener()

    async def wait(self) -> None:
        """Return when it is set."""
        event, loop = asyncio.Event(), asyncio.get_running_loop()
        self.listen(lambda: loop.call_soon_threadsafe(event.set))
        await event.wait()


class WorkerThread:
    """One thread for blocking calls, made in the order in which they are requested."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, name)

    async def call(self, function: Callable[..., T], *args: object) -> T:
        """Call in the thread; the call is made even if the caller is cancelled first."""
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._pool, function, *args))

    def close(self) -> None:
        """Take no more calls, without waiting for the current one."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def run_beside(campaign: Callable[[], Coroutine[None, None, None]], stop: StopSignal) -> BaseException | None:
    """
    Run a campaign to its end in a thread of its own, and raise what it raised.

    An exception raised in the calling thread is returned. It sets *stop*, after which the campaign ends soon: requests
    under way get a few seconds, and all outcomes are recorded.
    """
    thread = _CampaignThread(campaign)
    try:
        thread.start()
        thread.wait(float("inf"))
    except BaseException as interrupt:  # the caller raises it after reporting how far the campaign came
        stop.set()
        thread.wait(GRACE_SECONDS + _LAST_WRITES_SECONDS)
        return interrupt
    if thread.error is not None:
        raise thread.error
    return None


class _CampaignThread(threading.Thread):
    def __init__(self, campaign: Callable[[], Coroutine[None, None, None]]) -> None:
        super().__init__(name="omnichat-batch", daemon=True)
        self.error: BaseException | None = None
        self._campaign = campaign
        self._has_ended = False

    def run(self) -> None:
        try:
            event_loop.run(self._campaign())
        except BaseException as error:  # handed to the thread that waits
            self.error = error
        finally:
            self._has_ended = True

    def wait(self, seconds: float) -> None:
        # Not Thread.join: when a signal's handler raises in it, Python below 3.13 takes the thread for ended.
        until = time.monotonic() + seconds
        while not self._has_ended and time.monotonic() < until:
            time.sleep(_LOOK_EVERY_SECONDS)


@contextlib.contextmanager
def rarely_collected() -> Iterator[None]:
    """
    Collect garbage less often in the body of the ``with``, and leave out older objects.

    Airflow's own modules are some 600,000 objects that stay. Each full collection walks through them for a third of a
    second, in which nothing is sent, and a list makes one due every few thousand invites. ``gc.freeze`` sets them aside
    until the end. If objects are frozen already, as LocalExecutor does before it starts a task, no more are added:
    Python can only unfreeze all of them.
    """
    freezes = gc.isenabled() and not gc.get_freeze_count()
    before = gc.get_threshold()
    if freezes:
        gc.freeze()
    if before[0]:  # 0: automatic collection is switched off
        gc.set_threshold(max(_YOUNG_OBJECTS, before[0]), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        if freezes:
            gc.unfreeze()
