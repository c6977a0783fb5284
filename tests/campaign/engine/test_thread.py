"""A campaign beside the thread that Airflow watches, and what an exception of a signal's handler does to it."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from types import FrameType

import pytest

from airflow_provider_omnichat.campaign.engine import thread
from airflow_provider_omnichat.campaign.engine.stop_signal import StopSignal
from airflow_provider_omnichat.campaign.engine.thread import run_beside


class Campaign:
    """Runs until it is asked to stop, and then needs a while to record."""

    def __init__(self, records: float = 0.5, error: BaseException | None = None) -> None:
        self.recorded = False
        self.stop = StopSignal()
        self._records = records
        self._error = error

    async def run(self) -> None:
        if self._error:
            raise self._error
        await self.stop.wait()
        await asyncio.sleep(self._records)
        self.recorded = True


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
def test_an_exception_in_the_waiting_thread_is_given_back_after_everything_is_recorded(alarm, moment):
    campaign = Campaign()
    alarm(moment)
    assert isinstance(run_beside(campaign.run, campaign.stop), Late)
    assert campaign.recorded


def test_a_campaign_that_does_not_end_is_not_waited_for_for_ever(alarm, monkeypatch):
    monkeypatch.setattr(thread, "GRACE_SECONDS", 0.2)
    monkeypatch.setattr(thread, "_LAST_WRITES_SECONDS", 0.2)
    campaign = Campaign(records=3)
    alarm(0.1)
    assert isinstance(run_beside(campaign.run, campaign.stop), Late)
    assert not campaign.recorded
    while not campaign.recorded:
        time.sleep(0.05)


def test_stop_before_the_start_and_after_the_end_and_twice():
    campaign = Campaign(records=0)
    campaign.stop.set()
    assert run_beside(campaign.run, campaign.stop) is None
    campaign.stop.set()
    assert campaign.recorded


def test_stop_from_another_thread_while_it_runs():
    campaign = Campaign(records=0)
    threading.Timer(0.2, campaign.stop.set).start()
    assert run_beside(campaign.run, campaign.stop) is None
    assert campaign.recorded


def test_an_error_of_the_campaign_is_raised_in_the_waiting_thread():
    campaign = Campaign(error=ValueError("x"))
    with pytest.raises(ValueError, match="x"):
        run_beside(campaign.run, campaign.stop)
    for running in threading.enumerate():
        if running.name == "omnichat-batch":
            running.join(5)
            assert not running.is_alive()
