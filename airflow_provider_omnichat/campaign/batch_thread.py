"""
Runs a batch beside the thread that Airflow watches.

Airflow ends a task by a signal, and what its handler raises (``execution_timeout``, SIGTERM on older ones) is raised in
the main thread, wherever it is. In an event loop that would tear requests apart; here it only wakes a wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from airflow_provider_omnichat.campaign.batch import Batch
from airflow_provider_omnichat.campaign.row_sources import BrokenRow
from airflow_provider_omnichat.campaign.rows import Row

_GRACE = 3.5
_LAST_WRITES = 3.0


class BatchThread:
    """
    One run of a batch.

    :param batch: to run.
    """

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._loop = asyncio.new_event_loop()
        self._abandoning: asyncio.Task[None] | None = None

    def run(self, rows: Iterator[Row | BrokenRow]) -> None:
        """
        Run the batch to its end.

        Whatever is raised meanwhile in the calling thread stops new sends, leaves those under way a few seconds, has
        everything recorded, and is then raised again.

        :param rows: of the list.
        :raises OmnichatError: see :meth:`Batch.run`.
        """
        errors: list[BaseException] = []
        thread = threading.Thread(target=self._run, args=(rows, errors), name="omnichat-batch", daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                thread.join(1.0)
        except BaseException:
            self.stop()
            thread.join(_GRACE + _LAST_WRITES)
            raise
        if errors:
            raise errors[0]

    def stop(self) -> None:
        """Begin no further request and end soon; can be called from any thread or signal handler, more than once."""
        with contextlib.suppress(RuntimeError):  # the loop has ended, and so has the batch
            self._loop.call_soon_threadsafe(self._abandon)

    def _abandon(self) -> None:
        if self._abandoning is None:
            self._abandoning = self._loop.create_task(self._batch.abandon(_GRACE))

    def _run(self, rows: Iterator[Row | BrokenRow], errors: list[BaseException]) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._batch.run(rows))
        except BaseException as error:  # handed to the thread that waits
            errors.append(error)
