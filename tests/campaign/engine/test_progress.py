"""Snapshots of a campaign, while it is sent and after, and the timeline in them."""

from __future__ import annotations

import json
import logging
import threading
import time
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest

from airflow_provider_omnichat.api.aio import AsyncOmnichatClient
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import ReasonCode
from airflow_provider_omnichat.campaign.engine import progress
from airflow_provider_omnichat.campaign.engine.plan import CampaignPlan, Pace
from airflow_provider_omnichat.campaign.engine.progress import Timeline, snapshot, snapshot_of_one
from airflow_provider_omnichat.campaign.engine.report import CampaignReport
from airflow_provider_omnichat.campaign.engine.send_campaign import send_campaign
from airflow_provider_omnichat.campaign.results.tally import Tally
from tests.support.ledger_homes import accepted
from tests.support.patience import PATIENCE_SECONDS, wait_until
from tests.support.planned_campaigns import Listed, plan
from tests.support.reasons import why

LOG = logging.getLogger(__name__)
NUMBERS = [f"+417930267{i:02d}" for i in range(60)]
PERSON = "41793026727"
Snapshots = list[dict[str, Any]]


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_SAMPLE_EVERY_SECONDS", 0.05)
    monkeypatch.setattr(progress, "_PUBLISH_EVERY_SECONDS", 0.1)


def paced(rate: float | None = 60.0) -> CampaignPlan:
    return plan(pace=Pace(rate_limit=rate, concurrency=4, retry_budget=PATIENCE_SECONDS))


def send(client: AsyncOmnichatClient, publish: Any, of: CampaignPlan | None = None, **given: Any) -> CampaignReport:
    source = given.pop("source", None) or Listed(*NUMBERS, NUMBERS[0], "nobody")
    return send_campaign(of or paced(), source, client=client, log=LOG, publish=publish, **given)


def test_they_come_meanwhile_and_at_the_end_and_their_counts_add_up(often, client):
    taken: Snapshots = []
    source = Listed(*NUMBERS, NUMBERS[0], "nobody", before_the_last=lambda: wait_until(lambda: len(taken) >= 3))
    send(client, taken.append, source=source)
    for each in taken:
        assert sum(each["counts"].values()) == each["rows"] <= each["total"] == 62
        assert (each["rate_limit"], each["stop_reason"]) == (60.0, None)
        assert {len(column) for column in each["timeline"].values()} == {len(each["timeline"]["seconds"])}
        assert each["timeline"]["accepted"][-1] == each["sent_this_try"] == each["counts"]["accepted"]
        json.dumps(each, allow_nan=False)
    assert all(first["rows"] <= second["rows"] for first, second in pairwise(taken))
    assert taken[0]["rows"] < 62
    assert (taken[-1]["rows"], taken[-1]["segments"]) == (62, 60)
    assert {name: count for name, count in taken[-1]["counts"].items() if count} == {
        "accepted": 60,
        "duplicate": 1,
        "invalid": 1,
    }
    assert {reason["outcome"] for reason in taken[-1]["reasons"]} == {"duplicate", "invalid"}


def test_nobody_can_be_read_out_of_one(often, client, sandbox):
    sandbox.set_faults(["rejected:0.5:52"])
    taken: Snapshots = []
    send(client, taken.append)
    assert taken[-1]["counts"]["rejected"]
    text = json.dumps(taken)
    assert not [number for number in NUMBERS if number[3:] in text]
    assert "follow us" not in text
    assert "P07" not in text


def test_the_timeline_begins_before_the_first_invite(client):
    taken: Snapshots = []
    send(client, taken.append)
    assert (taken[-1]["timeline"]["accepted"][0], taken[-1]["timeline"]["accepted"][-1]) == (0, 60)


def test_refusals_of_a_short_campaign_are_in_the_last_one(sandbox, client):
    sandbox.script("429", "429")
    taken: Snapshots = []
    report = send(client, taken.append, paced(rate=None))
    assert report.tally.counts[Outcome.ACCEPTED] == 60
    assert taken[-1]["refused_for_now"] == taken[-1]["timeline"]["refused_for_now"][-1] == 2


def test_one_who_takes_long_does_not_keep_invites_waiting(often, client, sandbox):
    during: list[int] = []

    def publish(_: dict[str, Any]) -> None:
        if threading.current_thread() is not threading.main_thread() and not during:
            with suppress(AssertionError):
                wait_until(lambda: len(sandbox.accepted) == len(NUMBERS))
            during.append(len(sandbox.accepted))

    send(client, publish)
    assert during == [len(NUMBERS)], "all were sent before it was let go"


def test_one_who_takes_long_is_waited_for_so_that_the_last_one_comes_last(often, client, sandbox):
    taken: Snapshots = []

    def publish(given: dict[str, Any]) -> None:
        if threading.current_thread() is not threading.main_thread():
            wait_until(lambda: len(sandbox.accepted) == len(NUMBERS))
            time.sleep(0.5)
        taken.append(given)

    send(client, publish)
    assert [each["rows"] for each in taken] == sorted(each["rows"] for each in taken)
    assert taken[-1]["rows"] == 62


def test_after_a_wait_for_the_window_it_counts_on(client):
    taken: Snapshots = []
    send(client, taken.append, tally=Tally(40, 44, "2026-11-01T08:00:00+00:00"))
    last = taken[-1]
    assert (last["sent_this_try"], last["segments"], last["started_at"]) == (100, 104, "2026-11-01T08:00:00+00:00")
    assert (last["timeline"]["accepted"][0], last["timeline"]["accepted"][-1]) == (40, 100), "of this process alone"


def test_why_it_stopped_is_said(often, client, sandbox):
    sandbox.set_faults(["401:1"])
    taken: Snapshots = []
    report = send(client, taken.append)
    assert taken[-1]["stop_reason"] == report.stop_reason
    assert report.stop_reason


@pytest.mark.parametrize(("is_sent_now", "sent"), [(True, 1), (False, 0)])
def test_a_single_invite_that_was_accepted(is_sent_now: bool, sent: int) -> None:
    taken = snapshot_of_one(Outcome.ACCEPTED, None, accepted(PERSON), is_sent_now=is_sent_now)
    assert (taken["rows"], taken["total"], taken["sent_this_try"], taken["segments"]) == (1, 1, sent, sent)
    assert {name: count for name, count in taken["counts"].items() if count} == {"accepted": 1}
    assert taken["reasons"] == []
    assert taken.keys() == snapshot(CampaignReport()).keys()
    assert PERSON not in json.dumps(taken)


@pytest.mark.parametrize("outcome", [Outcome.REJECTED, Outcome.UNKNOWN, Outcome.INVALID, Outcome.NOT_SENT])
def test_a_single_invite_that_was_not_accepted(outcome: Outcome) -> None:
    taken = snapshot_of_one(outcome, why(f"{PERSON} is no", ReasonCode.HTTP_REJECTED), None, is_sent_now=False)
    assert {name: count for name, count in taken["counts"].items() if count} == {str(outcome): 1}
    (reason,) = taken["reasons"]
    assert (reason["outcome"], reason["code"], reason["count"], reason["first"]) == (outcome, "http_rejected", 1, [1])
    assert PERSON not in json.dumps(taken)


def played(seconds: float, every: float = 1.0, rate: int = 7) -> Timeline:
    timeline = Timeline("accepted")
    for moment in range(int(seconds / every)):
        timeline.add(moment * every, int(moment * every) * rate)
    return timeline


@pytest.mark.parametrize("hours", [0.01, 0.05, 1, 10, 72])
def test_hours_have_120_moments_at_most_and_they_are_about_equally_far_apart(hours: float) -> None:
    seconds = hours * 3600
    shown = played(seconds).to_json(seconds, int(seconds) * 7)
    assert len(shown["seconds"]) == len(shown["accepted"]) <= 120
    assert len(shown["seconds"]) >= min(55, seconds)
    assert (shown["seconds"][0], shown["seconds"][-1]) == (0, round(seconds, 1))
    gaps = [second - first for first, second in pairwise(shown["seconds"])][:-1]
    assert max(gaps) <= 1.2 * min(gaps)
    assert shown["accepted"] == [int(at) * 7 for at in shown["seconds"]]


def test_moments_too_near_to_each_other_make_no_rate_of_noise() -> None:
    timeline = played(10, every=0.01)
    seconds = timeline.to_json(9.999, 70)["seconds"]
    assert all(second - first >= 0.85 for first, second in pairwise(seconds))
    assert len(seconds) >= 9


def test_now_stands_at_the_end_once() -> None:
    timeline = Timeline("accepted", "rejected")
    assert timeline.to_json(0.2, 3, 1) == {"seconds": [0.2], "accepted": [3], "rejected": [1]}
    timeline.add(0.0, 0, 0)
    timeline.add(1.0, 2, 1)
    assert timeline.to_json(1.0, 4, 1) == {"seconds": [0.0, 1.0], "accepted": [0, 4], "rejected": [0, 1]}
    assert timeline.to_json(5.0, 9, 1) == {"seconds": [0.0, 1.0, 5.0], "accepted": [0, 2, 9], "rejected": [0, 1, 1]}
