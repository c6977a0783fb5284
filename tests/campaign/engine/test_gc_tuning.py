"""Python's garbage collector is as it was once a batch has ended, whoever set it up."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from airflow_provider_omnichat.campaign.engine.gc_tuning import rarely_collected


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    before = gc.get_threshold()
    gc.unfreeze()
    yield
    gc.unfreeze()
    gc.enable()
    gc.set_threshold(*before)


def test_what_was_there_before_is_not_walked_through_and_comes_back():
    before = gc.get_threshold()
    there: list[list[int]] = [[] for _ in range(1000)]
    with rarely_collected():
        assert gc.get_freeze_count() > len(there)
        assert gc.get_threshold() == (20_000, *before[1:])
    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() == before


def test_an_error_leaves_nothing_behind():
    before = gc.get_threshold()
    with pytest.raises(KeyError), rarely_collected():
        raise KeyError
    assert (gc.get_freeze_count(), gc.get_threshold()) == (0, before)


def test_what_somebody_else_has_set_aside_stays_so():
    gc.freeze()
    count = gc.get_freeze_count()
    with rarely_collected():
        assert gc.get_freeze_count() <= count  # fewer once some of it is gone
    assert gc.get_freeze_count() > count / 2


@pytest.mark.parametrize("threshold", [(0, 10, 10), (50_000, 5, 5)])
def test_who_wants_fewer_collections_still_gets_them(threshold):
    gc.set_threshold(*threshold)
    with rarely_collected():
        assert gc.get_threshold() == threshold


def test_a_collector_that_is_off_stays_off():
    gc.disable()
    with rarely_collected():
        assert not gc.isenabled()
        assert gc.get_freeze_count() == 0
    assert not gc.isenabled()
