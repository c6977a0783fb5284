"""Rows that are read and checked in a thread, a little ahead of the commits that take them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.campaign.engine.process import WorkerThread
from airflow_provider_omnichat.campaign.model.rows import Candidate, ListFailedError, Result

Checked = Candidate | Result

LARGEST_BLOCK = 2000
"""The most rows that are read ahead, looked up or written at once."""

_LEAST_AHEAD = 64
# How long a list may make us wait for a row before those that are there are taken.
_WAIT_SECONDS = 0.1


class RowsAhead:
    """A list that is read in *reader*; *news* is set when there are rows again, or the list has ended."""

    def __init__(self, checked: Iterator[Checked], reader: WorkerThread, news: asyncio.Event) -> None:
        self.failure: OmnichatError | None = None
        """Why the list cannot be read on; the rows before it can still be taken."""
        self._checked = checked
        self._reader = reader
        self._news = news
        self._rows: deque[Checked] = deque()  # filled in the thread
        self._ahead = _LEAST_AHEAD
        self._is_read = False
        self._reading: asyncio.Task[None] | None = None

    @property
    def is_ready(self) -> bool:
        """Whether there are rows to take."""
        return bool(self._rows)

    @property
    def has_ended(self) -> bool:
        """Whether all rows were taken."""
        return self._is_read and not self._rows

    def take(self, count: int) -> list[Checked]:
        """Take rows that are ready, until *count* of them can be sent now."""
        self._ahead = min(max(2 * count, _LEAST_AHEAD), LARGEST_BLOCK)
        taken: list[Checked] = []
        while count > 0 and self._rows and len(taken) < LARGEST_BLOCK:
            row = self._rows.popleft()
            taken.append(row)
            count -= isinstance(row, Candidate) and row.wait is None
        if self._reading is None and not self._is_read and 2 * len(self._rows) < self._ahead:
            self._reading = asyncio.create_task(self._read())
        return taken

    def give_back(self, rows: Sequence[Checked]) -> None:
        """Return rows, to be taken again before all others."""
        self._rows.extendleft(reversed(rows))

    async def close(self) -> None:
        """Wait until nothing reads the list any more."""
        self._ahead = 0
        if self._reading is not None:
            await self._reading

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()

        def tell() -> None:
            loop.call_soon_threadsafe(loop.call_later, _WAIT_SECONDS, self._news.set)

        self._is_read = await self._reader.call(self._fill, tell)
        self._reading = None
        self._news.set()

    def _fill(self, tell: Callable[[], object]) -> bool:
        """Read until there are enough rows; return whether there are no more."""
        try:
            for row in self._checked:
                self._rows.append(row)
                if len(self._rows) == 1:  # the next one may take long
                    tell()
                if len(self._rows) >= self._ahead:
                    return False
        except OmnichatError as error:
            self.failure = error
        except Exception as error:  # whatever a file, a database or a network raises: what is sent must be recorded
            self.failure = ListFailedError(f"The list cannot be read to its end ({type(error).__name__})")
        return True
