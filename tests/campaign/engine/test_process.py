"""A campaign beside the thread that Airflow watches, interrupted by signals, and the garbage collector around it."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import pytest

from airflow_provider_omnichat.campaign.engine import process
from airflow_provider_omnichat.campaign.engine.process import StopSignal, rarely_collected, run_beside
from tests.support.patience import PATIENCE_SECONDS, wait_until


class Campaign:
    """Runs until it is asked to stop, and then records once it may."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.may_record = threading.Event()
        self.may_record.set()
        self.recorded = False
        self.stop = StopSignal()
        self._error = error

    async def run(self) -> None:
        if self._error:
            raise self._error
        await self.stop.wait()
        await asyncio.sleep(0.1)
        await asyncio.to_thread(self.may_record.wait)
        self.recorded = True


class Late(BaseException):
    """What ``execution_timeout`` raises."""


@pytest.fixture
def ring() -> Iterator[Callable[[], None]]:
    """Let it be raised in the main thread."""

    def raise_late(number: int, frame: FrameType | None) -> None:
        raise Late

    before = signal.signal(signal.SIGALRM, raise_late)
    yield lambda: os.kill(os.getpid(), signal.SIGALRM)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("moment", [0, 0.1])
def test_an_exception_in_the_waiting_thread_is_given_back_after_everything_is_recorded(ring, monkeypatch, moment):
    monkeypatch.setattr(process, "GRACE_SECONDS", PATIENCE_SECONDS)
    campaign = Campaign()

    async def run() -> None:
        threading.Timer(moment, ring).start()
        await campaign.run()

    assert isinstance(run_beside(run, campaign.stop), Late)
    assert campaign.recorded


def test_a_campaign_that_does_not_end_is_not_waited_for_for_ever(ring, monkeypatch):
    monkeypatch.setattr(process, "GRACE_SECONDS", 0.2)
    monkeypatch.setattr(process, "_LAST_WRITES_SECONDS", 0.2)
    campaign = Campaign()
    campaign.may_record.clear()

    async def run() -> None:
        ring()
        await campaign.run()

    assert isinstance(run_beside(run, campaign.stop), Late)
    assert not campaign.recorded
    campaign.may_record.set()
    wait_until(lambda: campaign.recorded)


def test_stop_before_the_start_and_after_the_end_and_twice():
    campaign = Campaign()
    campaign.stop.set()
    assert run_beside(campaign.run, campaign.stop) is None
    campaign.stop.set()
    assert campaign.recorded


def test_stop_from_another_thread_while_it_runs():
    campaign = Campaign()
    threading.Timer(0.2, campaign.stop.set).start()
    assert run_beside(campaign.run, campaign.stop) is None
    assert campaign.recorded


def test_an_error_of_the_campaign_is_raised_in_the_waiting_thread():
    campaign = Campaign(error=ValueError("x"))
    with pytest.raises(ValueError, match="x"):
        run_beside(campaign.run, campaign.stop)
    for running in threading.enumerate():
        if running.name == "omnichat-batch":
            running.join(PATIENCE_SECONDS)
            assert not running.is_alive()


@pytest.fixture
def collector() -> Iterator[None]:
    before = gc.get_threshold()
    gc.unfreeze()
    yield
    gc.unfreeze()
    gc.enable()
    gc.set_threshold(*before)


def test_what_was_there_before_is_not_walked_through_and_comes_back(collector):
    before = gc.get_threshold()
    there: list[list[int]] = [[] for _ in range(1000)]
    with rarely_collected():
        assert gc.get_freeze_count() > len(there)
        assert gc.get_threshold() == (20_000, *before[1:])
    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() == before


def test_an_error_leaves_nothing_behind(collector):
    before = gc.get_threshold()
    with pytest.raises(KeyError), rarely_collected():
        raise KeyError
    assert (gc.get_freeze_count(), gc.get_threshold()) == (0, before)


def test_what_somebody_else_has_set_aside_stays_so(collector):
    gc.freeze()
    count = gc.get_freeze_count()
    with rarely_collected():
        assert gc.get_freeze_count() <= count  # fewer once some of it is gone
    assert gc.get_freeze_count() > count / 2


@pytest.mark.parametrize("threshold", [(0, 10, 10), (50_000, 5, 5)])
def test_who_wants_fewer_collections_still_gets_them(collector, threshold):
    gc.set_threshold(*threshold)
    with rarely_collected():
        assert gc.get_threshold() == threshold


def test_a_collector_that_is_off_stays_off(collector):
    gc.disable()
    with rarely_collected():
        assert not gc.isenabled()
        assert gc.get_freeze_count() == 0
    assert not gc.isenabled()
