"""Commits of a batch: outcomes as they come, few claims ahead, and what earlier tries decided in large blocks."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.engine.batch import Batch
from airflow_provider_omnichat.campaign.engine.plan import Pace, Records
from airflow_provider_omnichat.campaign.engine.process import StopSignal
from airflow_provider_omnichat.campaign.engine.send_campaign import send_campaign
from airflow_provider_omnichat.campaign.ledger.interface import Claim, Entry, NoLedger
from tests.support.ledger_homes import Home
from tests.support.patience import wait_until
from tests.support.planned_campaigns import Listed, plan
from tests.support.played_batches import LOST, attempt

NUMBERS = [f"4179{2_000_000 + i}" for i in range(3000)]


class Watched(NoLedger):
    """A ledger that remembers what is open, and how many it was asked for at once."""

    def __init__(self, known: Mapping[str, Entry] | None = None) -> None:
        self.known = dict(known or {})
        self.claimed: list[int] = []
        self.found: list[int] = []
        self.open = self.most_open = 0

    def claim(self, claims: Sequence[Claim], retake: Collection[Outcome | None]) -> Mapping[str, Entry]:
        taken = self.find(claims)
        self.found.pop()
        self.claimed.append(len(claims))
        self.open += len(claims) - len(taken)
        self.most_open = max(self.open, self.most_open)
        return taken

    def find(self, claims: Sequence[Claim]) -> Mapping[str, Entry]:
        self.found.append(len(claims))
        return {each.recipient: self.known[each.recipient] for each in claims if each.recipient in self.known}

    def record(self, entries: Mapping[str, Entry]) -> None:
        self.open -= len(entries)
        self.known |= entries


def test_what_earlier_tries_have_decided_is_gone_through_in_large_blocks_and_not_claimed():
    first = Watched()
    attempt(lambda: first, numbers=NUMBERS[:2500])
    again = Watched(first.known)
    tried = attempt(lambda: again, numbers=NUMBERS)
    assert tried.asked == NUMBERS[2500:]
    assert set(tried.outcomes().values()) == {"accepted"}
    assert max(again.found) >= 64
    assert sum(again.claimed) <= 500 + 64


@pytest.mark.parametrize("resend", [False, True])
def test_what_is_gone_through_in_blocks_ends_as_it_would_if_it_were_claimed(tmp_path: Path, resend: bool):
    home, numbers = Home("journal", tmp_path), NUMBERS[:200]
    lost, late = numbers[20::5], numbers[22::5]
    attempt(home.ledger, lambda to: LOST if to in lost else None, numbers=numbers, closing=late)
    second = attempt(home.ledger, numbers=numbers, resend=resend)
    assert {*second.asked} == {*late, *(lost if resend else ())}
    doubts = {number for number, outcome in second.outcomes().items() if outcome == "unknown"}
    assert doubts == (set() if resend else {*lost})


def test_a_paced_campaign_has_few_open_claims(client: Any):
    ledger = Watched()
    paced = plan(pace=Pace(rate_limit=40), records=Records(lambda: ledger))
    report = send_campaign(paced, Listed(*NUMBERS[:30]), client=client, log=_Silent())
    assert report.tally.counts[Outcome.ACCEPTED] == 30
    assert ledger.most_open <= 8


def test_a_ledger_that_is_slow_has_no_more_open_claims_than_a_kill_may_leave(client: Any):
    class Slow(Watched):
        group_factor = 1.5

        def claim(self, claims: Sequence[Claim], retake: Collection[Outcome | None]) -> Mapping[str, Entry]:
            time.sleep(0.1)
            return super().claim(claims, retake)

    ledger = Slow()
    slow = plan(pace=Pace(concurrency=8), records=Records(lambda: ledger))
    report = send_campaign(slow, Listed(*NUMBERS[:200]), client=client, log=_Silent())
    assert report.tally.counts[Outcome.ACCEPTED] == 200
    assert 2 * 8 < ledger.most_open <= 4 * 8


def test_an_outcome_is_recorded_although_nothing_more_can_be_claimed(client: Any, sandbox: Any):
    ledger, seen = Watched(), []

    def look() -> None:
        wait_until(lambda: len(ledger.known) == 4)
        seen.append(ledger.open)

    source = Listed(*NUMBERS[:5], before_the_last=look)
    send_campaign(plan(records=Records(lambda: ledger)), source, client=client, log=_Silent())
    assert seen == [0], "all that was read before the list made us wait"


def test_a_list_that_hangs_does_not_keep_a_stop_from_recording(client: Any):
    ledger, stop, hangs = Watched(), StopSignal(), threading.Event()
    recorded: list[int] = []

    def hang() -> None:
        wait_until(lambda: len(ledger.known) == 4)
        stop.set()
        recorded.append(ledger.open)
        hangs.wait(0.1)

    source = Listed(*NUMBERS[:5], before_the_last=hang)
    report = send_campaign(plan(records=Records(lambda: ledger)), source, client=client, log=_Silent(), stop=stop)
    assert (report.was_stopped, recorded, report.unwritten) == (True, [0], {})
    assert report.tally.counts[Outcome.ACCEPTED] == 4


def test_an_empty_list_is_complete(client: Any):
    report = send_campaign(plan(records=Records(Watched)), Listed(), client=client, log=_Silent())
    assert (report.is_complete, report.missing, report.failure) == (True, 0, None)


def test_one_request_at_a_time_has_one_commit_for_each_few_invites():
    """The writer does not spin: there is a commit for what is new, and none for nothing."""
    ledger, writes = Watched(), []

    def count(batch: Batch) -> None:
        real = batch.storage.write

        def write(*given: Any) -> Any:
            writes.append(given)
            return real(*given)

        batch.storage.write = write  # type: ignore[method-assign, assignment]

    attempt(lambda: ledger, numbers=NUMBERS[:300], meanwhile=count)
    assert all(any(given) for given in writes[:-1])


class _Silent:
    def info(self, *_: object) -> None:
        pass

    warning = info
