"""How much a commit claims: what is sent until the next one is done, by the measured pace and time of a commit."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import pytest

from airflow_provider_omnichat.campaign.engine import commit_groups
from airflow_provider_omnichat.campaign.engine.commit_groups import CommitGroups
from airflow_provider_omnichat.campaign.engine.rows_ahead import LARGEST_BLOCK

CONNECTIONS = 32


@dataclass
class Sending:
    """What is asked of a sender and a pacer, for a vendor who takes *pace* invites a second."""

    pace: float
    rate: float | None = None
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    refused: int = 0
    waiting: float = 0
    sent: float = 0
    busy_seconds: float = 0

    @property
    def ahead(self) -> int:
        return ceil(self.waiting)

    @property
    def unended(self) -> int:
        return self.ahead

    @property
    def ended_count(self) -> int:
        return int(self.sent)

    @property
    def busy(self) -> int:
        return CONNECTIONS if self.waiting else 0

    def pass_time(self, seconds: float) -> None:
        leaving = min(self.waiting, self.pace * seconds)
        self.waiting -= leaving
        self.sent += leaving
        self.busy_seconds += leaving * CONNECTIONS / self.pace


class Clock:
    now = 100.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(commit_groups, "monotonic", lambda: made.now)
    return made


def groups_for(sending: Sending, factor: float = 1) -> CommitGroups:
    given: Any = sending
    return CommitGroups(given, given, CONNECTIONS, factor)


@dataclass
class Played:
    claimed: list[int]
    most_ahead: float
    idle_seconds: float
    commits_a_second: float


def play(sending: Sending, clock: Clock, commit_seconds: float, factor: float = 1, seconds: float = 4.0) -> Played:
    """Commit again and again; measure the last half."""
    made, claimed = groups_for(sending, factor), []
    most_ahead = idle = 0.0
    end, half = clock.now + seconds, clock.now + seconds / 2
    while clock.now < end:
        made.begin()
        wanted = made.wanted()
        before, sent = clock.now, sending.sent
        clock.now += commit_seconds
        sending.pass_time(commit_seconds)
        sending.waiting += wanted
        rest = made.done()
        top = sending.waiting
        clock.now += rest
        sending.pass_time(rest)
        if before >= half:
            claimed.append(wanted)
            most_ahead = max(most_ahead, top)
            idle += clock.now - before - (sending.sent - sent) / sending.pace
    return Played(claimed, most_ahead, idle / (seconds / 2), len(claimed) / (seconds / 2))


@pytest.mark.parametrize(("pace", "slow_commit"), [(200, 0.1), (1500, 0.012), (3000, 0.006)])
def test_a_slow_ledger_makes_large_groups_and_a_fast_one_small_groups(clock, pace, slow_commit):
    fast, slow = (play(Sending(pace), clock, seconds) for seconds in (0.002, slow_commit))
    assert sum(fast.claimed) / len(fast.claimed) < sum(slow.claimed) / len(slow.claimed)
    for played, seconds in ((fast, 0.002), (slow, slow_commit)):
        assert played.idle_seconds < 0.05, "the connections are kept busy"
        cycle = 1 / played.commits_a_second
        assert cycle <= 5.1 * seconds
        assert played.most_ahead <= 1.5 * pace * cycle + CONNECTIONS


@pytest.mark.parametrize("pace", [200, 1500, 20_000])
@pytest.mark.parametrize("commit_seconds", [0.002, 0.1, 1.0])
@pytest.mark.parametrize(("factor", "most"), [(1, 3), (1.5, 4), (3.5, 8)])
def test_however_slow_the_ledger_is_few_are_claimed_and_not_recorded(clock, pace, commit_seconds, factor, most):
    played = play(Sending(pace), clock, commit_seconds, factor, seconds=max(4.0, 60 * commit_seconds))
    assert played.most_ahead <= most * CONNECTIONS
    assert sum(played.claimed) > 0


@pytest.mark.parametrize("commit_seconds", [0.002, 0.01, 0.02])
def test_what_is_claimed_ahead_of_a_fast_ledger_is_less_than_two_for_each_connection(clock, commit_seconds):
    played = play(Sending(1500), clock, commit_seconds)
    assert played.most_ahead <= 2 * CONNECTIONS


def test_answers_that_come_at_once_find_more_to_send(clock):
    assert play(Sending(200), clock, 0.002).most_ahead > CONNECTIONS / 3


def test_a_ledger_whose_commits_are_dear_has_fewer_of_them(clock):
    cheap, dear = (play(Sending(1500), clock, 0.012, factor) for factor in (1, 4))
    assert dear.commits_a_second <= 0.5 * cheap.commits_a_second
    assert dear.most_ahead <= 5 * CONNECTIONS


@pytest.mark.parametrize(("rate", "most"), [(1, 1), (10, 2), (50, 4)])
def test_a_paced_campaign_claims_what_is_sent_in_a_moment(clock, rate, most):
    played = play(Sending(rate, rate=rate), clock, 0.01)
    assert 1 <= played.most_ahead <= most


def test_the_first_group_is_small_since_nothing_is_known_yet(clock):
    assert groups_for(Sending(1500)).wanted() == 4


def test_one_that_takes_long_such_as_in_an_outage_does_not_make_the_next_ones_large(clock):
    sending = Sending(1500)
    made = groups_for(sending)
    for seconds in [0.01] * 50 + [60.0]:
        made.begin()
        sending.waiting += made.wanted()
        clock.now += seconds
        sending.pass_time(min(seconds, 1.0))
        made.done()
    sending.waiting = 0
    assert made.wanted() <= 4 * CONNECTIONS


def test_nothing_is_claimed_while_many_refused_ones_wait_to_be_tried_again(clock):
    sending = Sending(1500, sent=100)
    made = groups_for(sending)
    sending.refused = 2 * CONNECTIONS
    assert made.wanted() > 0
    sending.refused += 1
    assert made.wanted() == 0


def test_what_is_not_sent_any_more_is_read_in_the_largest_blocks(clock):
    sending = Sending(1500)
    sending.stopped.set()
    assert groups_for(sending).wanted() == LARGEST_BLOCK
