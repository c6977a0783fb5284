"""What the plugin reads of tasks, as tests make it; only where Airflow has tabs for plugins."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from airflow_provider_omnichat.plugins.invites.sending_tasks import SendingTask

AT = "2026-11-01T08:00:00+00:00"


def pushed(**fields: Any) -> dict[str, Any]:
    """An XCom of a task that has sent; some of it changed."""
    timeline = {
        "seconds": [0.0, 1.0, 2.0],
        "accepted": [0, 5, 9],
        "rejected": [0, 0, 1],
        "unknown": [0, 0, 0],
        "refused_for_now": [0, 2, 2],
    }
    reason = {"outcome": "rejected", "code": "http_rejected", "name": "REJECTED_DND", "count": 1, "first": ["c1"]}
    given = {"campaign": "welcome", "try_number": 1, "results": None, "at": AT, "started_at": AT}
    numbers = {"rows": 10, "total": 10, "sent_this_try": 9, "segments": 9, "refused_for_now": 2, "rate_limit": None}
    counts = {"accepted": 9, "rejected": 1}
    return {**given, **numbers, "counts": counts, "reasons": [reason], "timeline": timeline, **fields}


def sending(map_index: int = -1, rendered: Any = None, **fields: Any) -> SendingTask | None:
    """Read such an XCom of a task instance, with its rendered fields."""
    names = {"dag_id": "invites", "run_id": "run", "task_id": "invite", "map_index": map_index}
    ti: Any = SimpleNamespace(**names, state="success", try_number=1, start_date=None, end_date=None)
    return SendingTask.of(ti, pushed(**fields), rendered)
