"""
Runs a batch beside the thread that Airflow watches.

Airflow ends a task by a signal, and what its handler raises (``execution_timeout``, SIGTERM on older ones) is raised in
the main thread, wherever it is. In an event loop that would tear requests apart; here it only wakes a wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterable

from airflow_provider_omnichat.campaign.engine.batch import Batch
from airflow_provider_omnichat.campaign.model.rows import BrokenRow, Row

_GRACE = 3.5
_LAST_WRITES = 3.0
_LOOK = 0.02


class BatchThread:
    """
    One run of a batch.

    :param batch: to run.
    """

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._loop = asyncio.new_event_loop()
        self._abandoning: asyncio.Task[None] | None = None
        self._ended = False
        self._error: BaseException | None = None

    def run(self, rows: Iterable[Row | BrokenRow]) -> None:
        """
        Run the batch to its end.

        Whatever is raised meanwhile in the calling thread stops new sends, leaves those under way a few seconds, has
        everything recorded, and is then raised again.

        :param rows: of the list.
        :raises OmnichatError: see :meth:`Batch.run`.
        """
        thread = threading.Thread(target=self._run, args=(rows,), name="omnichat-batch", daemon=True)
        try:
            thread.start()
            self._wait(float("inf"))
        except BaseException:
            self.stop()
            self._wait(_GRACE + _LAST_WRITES)
            raise
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Begin no further request and end soon; can be called from any thread or signal handler, more than once."""
        with contextlib.suppress(RuntimeError):  # the loop has ended, and so has the batch
            self._loop.call_soon_threadsafe(self._abandon)

    def _wait(self, seconds: float) -> None:
        # Not Thread.join: when a signal's handler raises in it, Python below 3.13 takes the thread for ended.
        until = time.monotonic() + seconds
        while not self._ended and time.monotonic() < until:
            time.sleep(_LOOK)

    def _abandon(self) -> None:
        if self._abandoning is None:
            self._abandoning = self._loop.create_task(self._batch.abandon(_GRACE))

    def _run(self, rows: Iterable[Row | BrokenRow]) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._batch.run(rows))
        except BaseException as error:  # handed to the thread that waits
            self._error = error
        finally:
            self._ended = True
