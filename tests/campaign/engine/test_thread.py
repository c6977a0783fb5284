"""A batch beside the thread that Airflow watches, and what an exception of a signal's handler does to it."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from types import FrameType
from typing import Any

import pytest

from airflow_provider_omnichat.campaign.engine.thread import BatchThread


class Batch:
    """Runs until it is abandoned, and then needs a while to record."""

    def __init__(self, records: float = 0.5, error: BaseException | None = None) -> None:
        self.recorded = False
        self.abandoned_with: list[float] = []
        self._records = records
        self._error = error
        self._stop: asyncio.Event | None = None
        self._given_up = False

    async def run(self, rows: Any) -> None:
        if self._error:
            raise self._error
        self._stop = asyncio.Event()
        if not self._given_up:
            await self._stop.wait()
        await asyncio.sleep(self._records)
        self.recorded = True

    async def abandon(self, seconds: float) -> None:
        self.abandoned_with.append(seconds)
        self._given_up = True
        if self._stop:
            self._stop.set()


class Late(BaseException):
    """What ``execution_timeout`` raises."""


@pytest.fixture
def alarm():
    def ring(number: int, frame: FrameType | None) -> None:
        raise Late

    before = signal.signal(signal.SIGALRM, ring)
    yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("moment", [0.01, 0.1, 0.3])
def test_an_exception_in_the_waiting_thread_is_raised_after_everything_is_recorded(alarm, moment):
    batch: Any = Batch()
    alarm(moment)
    with pytest.raises(Late):
        BatchThread(batch).run(iter(()))
    assert batch.recorded
    assert len(batch.abandoned_with) == 1


def test_a_batch_that_does_not_end_is_not_waited_for_for_ever(alarm, monkeypatch):
    monkeypatch.setattr("airflow_provider_omnichat.campaign.engine.thread._GRACE", 0.2)
    monkeypatch.setattr("airflow_provider_omnichat.campaign.engine.thread._LAST_WRITES", 0.2)
    batch: Any = Batch(records=3)
    alarm(0.1)
    begin = time.monotonic()
    with pytest.raises(Late):
        BatchThread(batch).run(iter(()))
    assert time.monotonic() - begin < 60
    while not batch.recorded:
        time.sleep(0.05)


def test_stop_before_the_start_and_after_the_end_and_twice():
    batch: Any = Batch(records=0)
    thread = BatchThread(batch)
    thread.stop()
    thread.run(iter(()))
    thread.stop()
    assert batch.recorded
    assert len(batch.abandoned_with) == 1


def test_an_error_of_the_batch_is_raised_in_the_waiting_thread():
    batch: Any = Batch(error=ValueError("x"))
    with pytest.raises(ValueError, match="x"):
        BatchThread(batch).run(iter(()))
    for thread in threading.enumerate():
        if thread.name == "omnichat-batch":
            thread.join(5)
            assert not thread.is_alive()
