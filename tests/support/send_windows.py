"""A window, and zones in which it is open or shut, whatever time it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_omnichat.campaign.checks.send_window import SendWindow


def zone_at(hour: int) -> str:
    """A fixed zone whose clock shows this hour, whatever time it is; half past, so that no test meets its edge."""
    now = datetime.now(UTC)
    ahead = timedelta(hours=hour, minutes=30) - timedelta(hours=now.hour, minutes=now.minute)
    minutes = int(ahead.total_seconds() // 60)
    minutes = (minutes + 720) % 1440 - 720
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def next_opening(zone: str) -> datetime:
    """When it is next nine o'clock in a zone of :func:`zone_at`."""
    now = datetime.now(datetime.strptime(zone, "%z").tzinfo)
    opening = now.replace(hour=9, minute=0, second=0, microsecond=0)
    return opening if opening > now else opening + timedelta(days=1)


DAY, NIGHT = zone_at(12), zone_at(3)
HOURS: Any = ("09:00", "20:00")


def window(**given: Any) -> SendWindow:
    """The window of these hours, by the zone in the row."""
    return SendWindow(*HOURS, **{"zone_column": "zone", **given})
