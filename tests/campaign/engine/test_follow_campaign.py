"""Following many invites: how long it takes, what is asked again, and what is kept when it breaks off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from airflow_provider_omnichat.api.errors import SmsLogsError
from airflow_provider_omnichat.api.logs import RequestLimit
from airflow_provider_omnichat.api.outcomes import Delivery
from airflow_provider_omnichat.campaign.engine.follow_campaign import SAMPLE_SIZE, DeliveryReport, follow, sample_of
from airflow_provider_omnichat.campaign.model.delivery import FinalStatus
from airflow_provider_omnichat.sandbox import Sandbox, Settings
from airflow_provider_omnichat.tasks.delivery import GivenMessages
from tests.support.clocks import SkippingClock
from tests.support.wire_server import WireServer, answer

IDS = [f"{number:039d}" for number in range(250 * SAMPLE_SIZE)]  # 250 requests


def look(hook: Any, place: GivenMessages, clock: SkippingClock | None = None) -> DeliveryReport:
    clock = clock or SkippingClock()
    return follow([place], hook.get_async_conn(1), RequestLimit(120, 60.0, clock, clock.sleep))


def test_12_750_invites_take_the_vendors_limit_two_minutes_and_few_requests(hook_for):
    clock = SkippingClock()
    with Sandbox(seed=1, settings=Settings(logs_limit=250)) as sandbox:  # one request more would be refused
        report = look(hook_for(sandbox), GivenMessages(IDS), clock)
    assert report.counts["not_seen"] == report.waiting == len(IDS)
    assert clock.now == pytest.approx(120.0)  # 250 requests: 120 at once, 120 after a minute, the rest after two
    assert len(report.sample) == SAMPLE_SIZE


def test_what_was_found_is_kept_when_the_logs_fail_later(wire, hook_for):
    kept: list[str] = []

    class Kept(GivenMessages):
        def record(self, statuses: Sequence[FinalStatus]) -> None:
            kept.extend(status.invite.message_id for status in statuses)
            super().record(statuses)

    def rows(ids: list[str]) -> bytes:
        return answer(200, {"results": [{"messageId": each, "status": {"groupId": 3, "id": 5}} for each in ids]})

    pages = [rows(IDS[start : start + SAMPLE_SIZE]) for start in range(0, 200 * SAMPLE_SIZE, SAMPLE_SIZE)]
    server: WireServer = wire(*pages, answer(403, {}))
    with pytest.raises(SmsLogsError):
        look(hook_for(server), Kept(IDS))
    assert kept == IDS[: 200 * SAMPLE_SIZE]


def test_the_sample_is_drawn_from_all_and_asks_nobody(hook_for):
    samples = [sample_of([GivenMessages(IDS), GivenMessages(["last", "a,b"])]) for _ in range(20)]
    assert {len(set(sample)) for sample in samples} == {SAMPLE_SIZE}
    assert len({message_id for sample in samples for message_id in sample}) > 900  # of 1020, hardly one twice
    assert "a,b" not in {message_id for sample in samples for message_id in sample}


def test_counts_add_up(wire, hook_for):
    states = {"a": (3, 5), "b": (2, 9), "c": (4, 15), "d": (4, 29), "e": (5, 10), "f": (3, 2), "g": (99, 1)}
    rows = [{"messageId": name, "status": {"groupId": group, "id": id_}} for name, (group, id_) in states.items()]
    report = look(hook_for(wire(answer(200, {"results": rows}))), GivenMessages([*states, "h", "", "a"]))
    assert report.counts == {
        "delivered": 1,
        "undeliverable": 1,
        "expired": 1,
        "rejected": 1,
        "unknown": 1,
        "pending": 2,
        "not_seen": 1,
        "out_of_reach": 0,
        "not_asked": 1,
    }
    assert report.delivered_ratio == 0.25
    assert set(report.sample) == {"f", "g", "h"}
    assert set(report.known) == set(Delivery)
