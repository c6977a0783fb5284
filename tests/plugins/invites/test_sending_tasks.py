"""What a task pushed of how far it is may have been edited: nothing of it may break a page."""

from __future__ import annotations

from datetime import timedelta, timezone
from typing import Any

import pytest

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.engine.progress import Progress, Timeline, snapshot_of_one
from airflow_provider_omnichat.campaign.engine.report import CampaignReport
from airflow_provider_omnichat.plugins.invites.sending_tasks import SendingTask, TaskProgress
from tests.support.plugin_tasks import pushed, sending
from tests.support.reasons import why

TIMELINE = pushed()["timeline"]


def test_what_a_task_pushes_is_read() -> None:
    for snapshot in [
        {},
        Progress(CampaignReport()).snapshot(),
        snapshot_of_one(Outcome.UNKNOWN, why("no answer"), None, is_sent_now=False),
    ]:
        assert TaskProgress.model_validate({"campaign": "c", "try_number": 2, "results": None, **snapshot}).rows >= 0
    assert sending() is not None


def test_a_timeline_of_days_is_read() -> None:
    timeline = Timeline("accepted", "rejected", "unknown", "refused_for_now")
    for second in range(100_000):
        timeline.add(second, second, 0, 0, 0)
    shown = timeline.to_json(100_000, 100_000, 0, 0, 0)
    task = sending(timeline=shown)
    assert task is not None
    assert task.progress.timeline.model_dump() == shown


@pytest.mark.parametrize(
    "fields",
    [
        {"counts": {"accepted": -1}},
        {"counts": {"accepted": 10**400, "rejected": 1}},
        {"counts": {"accepted": float("nan")}},
        {"counts": {"accepted": None}},
        {"counts": {f"x{at}": 1 for at in range(10_000)}},
        {"counts": [1]},
        {"rows": -5},
        {"total": 10**13},
        {"rate_limit": float("inf")},
        {"rate_limit": float("nan")},
        {"at": "2026-11-01T08:00:00"},
        {"at": "0001-01-01T00:00:00+14:00"},
        {"at": "9999-12-31T23:59:59-12:00"},
        {"started_at": "yesterday"},
        {"campaign": None},
        {"reasons": [{"outcome": "rejected", "count": -1}]},
        {"reasons": [{"outcome": "rejected"}] * 1000},
        {"reasons": [{"outcome": "rejected", "first": ["c"] * 1000}]},
        {"timeline": {**TIMELINE, "accepted": [1, 2]}},
        {"timeline": {**TIMELINE, "refused_for_now": []}},
        {"timeline": {**TIMELINE, "seconds": [0.0, 1.0, float("nan")]}},
        {"timeline": {**TIMELINE, "seconds": [0.0, 1.0, float("inf")]}},
        {"timeline": {**TIMELINE, "seconds": [2.0, 1.0, 0.0]}},
        {"timeline": {**TIMELINE, "seconds": [-1.0, 1.0, 2.0]}},
        {"timeline": {**TIMELINE, "accepted": [0, 10**400, 10**400]}},
        {"timeline": {name: [1] * 10_000 for name in TIMELINE}},
        {"timeline": "none"},
    ],
    ids=lambda fields: str(fields)[:50],
)
def test_what_no_task_pushes_is_not_read(fields: dict[str, Any]) -> None:
    assert sending(**fields) is None


@pytest.mark.parametrize("value", [None, "text", 5, [], {}, {"campaign": 5}])
def test_another_xcom_is_none(value: Any) -> None:
    assert SendingTask.of(None, value, None) is None  # type: ignore[arg-type]


def test_moments_can_be_compared_and_shown_in_every_zone() -> None:
    tasks = [sending(at=at) for at in ("2026-11-01T08:00:00Z", "2026-11-01T08:00:00+05:30", None)]
    moments = [task.progress.at for task in tasks if task is not None and task.progress.at is not None]
    assert min(moments) == moments[1]
    assert moments[0].astimezone(timezone(timedelta(hours=14))) == moments[0]
    assert len(tasks) == 3
