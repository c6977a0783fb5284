"""
Runs a campaign beside the thread that Airflow watches.

Airflow ends a task by a signal, and what its handler raises (``execution_timeout``, SIGTERM on older ones) is raised in
the main thread, wherever it is. In an event loop that would tear requests apart; here it only wakes a wait.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine

from airflow_provider_omnichat.campaign.engine.stop_signal import StopSignal

GRACE_SECONDS = 3.5
"""What requests under way are given to end in when a campaign is stopped."""

_LAST_WRITES_SECONDS = 3.0
_LOOK_EVERY_SECONDS = 0.02


def run_beside(campaign: Callable[[], Coroutine[None, None, None]], stop: StopSignal) -> BaseException | None:
    """
    Run a campaign to its end, in a thread of its own.

    Whatever is raised meanwhile in the calling thread stops new sends, leaves those under way a few seconds, and has
    everything recorded.

    :param campaign: makes what is to be run; ends soon once *stop* is set.
    :param stop: set when something is raised in the calling thread.
    :return: what was raised in the calling thread meanwhile; None for nothing.
    :raises Exception: what *campaign* raised.
    """
    thread = _CampaignThread(campaign)
    try:
        thread.start()
        thread.wait(float("inf"))
    except BaseException as interrupt:  # the caller raises it once it has said what there is
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
            asyncio.run(self._campaign())
        except BaseException as error:  # handed to the thread that waits
            self.error = error
        finally:
            self._has_ended = True

    def wait(self, seconds: float) -> None:
        # Not Thread.join: when a signal's handler raises in it, Python below 3.13 takes the thread for ended.
        until = time.monotonic() + seconds
        while not self._has_ended and time.monotonic() < until:
            time.sleep(_LOOK_EVERY_SECONDS)
