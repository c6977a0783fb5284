"""Moments and zones as tests write them."""

from __future__ import annotations

from datetime import UTC, datetime

ZURICH, NEW_YORK, LOS_ANGELES = "Europe/Zurich", "America/New_York", "America/Los_Angeles"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
