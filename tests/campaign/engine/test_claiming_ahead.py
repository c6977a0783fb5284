"""How much is claimed ahead: by what was taken in the last second, little at first, and never for long."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from airflow_provider_omnichat.api.models import Invite
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.engine import claiming_ahead
from airflow_provider_omnichat.campaign.engine.claiming_ahead import LARGEST_BLOCK, ClaimingAhead, next_block
from airflow_provider_omnichat.campaign.model.rows import Candidate, ListFailedError, Result, RowSourceError


@dataclass
class Sending:
    """What is asked of a sender and a pacer."""

    taken: int = 0
    started: float = 100.0
    rate: float | None = None
    stopped: asyncio.Event = field(default_factory=asyncio.Event)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(claiming_ahead, "monotonic", lambda: made.now)
    return made


def ahead(sending: Sending, concurrency: int = 32) -> ClaimingAhead:
    given: Any = sending
    return ClaimingAhead(given, given, concurrency)


def sizes(sending: Sending, clock: Clock, pace: float, refills: int, refill_seconds: float = 0.01) -> list[int]:
    """Let a vendor take so many a second, of what was claimed for it."""
    made, found, claimed = ahead(sending), [], 0
    for _ in range(refills):
        made.refill_begins()
        size = made.block_size()
        found.append(size)
        claimed += size
        clock.now += refill_seconds
        made.refilled(size, size, was_starved=False)
        clock.now += size / pace
        sending.taken = claimed
    return found


@pytest.mark.parametrize("pace", [5, 100, 1000, 4000])
def test_a_block_comes_to_what_is_sent_in_a_quarter_of_a_second(clock, pace):
    found = sizes(Sending(), clock, pace, 40)
    assert found[0] == 4
    assert all(later <= 4 * before for before, later in pairwise(found))
    assert 0.2 * pace <= found[-1] <= 0.3 * pace + 1


def test_a_rate_that_is_known_is_the_most(clock):
    found = sizes(Sending(rate=20.0), clock, 20, 20)
    assert found[0] == 4
    assert set(found[1:]) <= {4, 5, 6}


def test_answers_that_are_on_their_way_make_no_block_smaller_than_the_first(clock):
    made = ahead(Sending())
    for _ in range(10):
        made.refill_begins()
        assert made.block_size() == 4
        clock.now += 0.09
    clock.now += 1
    made.refill_begins()
    assert made.block_size() == 1


def test_what_is_not_sent_any_more_is_read_in_the_largest_blocks(clock):
    sending = Sending()
    sending.stopped.set()
    assert ahead(sending).block_size() == LARGEST_BLOCK


def test_more_is_claimed_earlier_where_that_takes_longer_and_not_while_many_refused_ones_wait(clock):
    made = ahead(Sending())
    below, set_aside = made.room(100)
    assert (below, set_aside) == (50, 100)
    assert made.room(4) == (2, 32)
    made.refill_begins()
    clock.now += 0.5
    made.refilled(4, 4, was_starved=False)
    assert made.room(100) == (75, 100)
    for _ in range(30):
        made.refill_begins()
        made.refilled(4, 4, was_starved=False)
    assert made.room(100) == (20, 100)
    assert made.room(1) == (1, 32)


def test_what_earlier_tries_have_sent_is_not_gone_through_one_by_one(clock):
    made = ahead(Sending())
    for _ in range(50):
        made.refill_begins()
        clock.now += 0.1
        made.refilled(64, 1, was_starved=True)
        assert made.block_size() == 64
    made.refill_begins()
    made.refilled(64, 64, was_starved=False)
    assert made.block_size() == 1


def test_a_ledger_that_takes_longer_than_a_block_lasts_gets_larger_blocks_until_the_senders_are_busy(clock):
    """A claim takes 0.4 seconds, and 1,000 invites a second could be sent."""
    sending = Sending()
    made, found = ahead(sending), []
    for _ in range(15):
        made.refill_begins()
        size = made.block_size()
        found.append(size)
        sent = min(size, 400)  # in the time of the claim
        clock.now += 0.4
        sending.taken += sent
        made.refilled(size, size, was_starved=size < 400)
    assert all(before <= later for before, later in pairwise(found[:8]))
    assert 300 <= found[-1] <= 800


def candidate(position: int) -> Candidate:
    return Candidate(
        position, None, Invite("41793026727", "Hi <link>", "<link>", "A", "F"), str(position), "41793026727"
    )


def test_a_block_counts_what_can_be_sent_and_keeps_what_was_read_when_the_list_fails():
    invalid = Result(1, None, "", Outcome.INVALID, "")

    def rows(error: Exception) -> Iterator[Candidate | Result]:
        yield invalid
        yield candidate(2)
        yield candidate(3)
        yield invalid
        raise error

    given = rows(OSError("s3://user:secret@bucket broke"))
    assert next_block(given, 2) == ([invalid, candidate(2), candidate(3)], None)
    block, failure = next_block(given, 2)
    assert block == [invalid]
    assert isinstance(failure, ListFailedError)
    assert "OSError" in str(failure)
    assert "secret" not in str(failure)
    assert next_block(given, 2) == ([], None)
    _, failure = next_block(rows(RowSourceError("no column")), 9)
    assert isinstance(failure, RowSourceError)
