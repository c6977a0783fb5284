"""``Retry-After`` as servers, and proxies on the way, write it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# The parts of a header that came more than once, which both clients join with commas. A date has a comma of its own.
_PARTS = re.compile(r"\s*(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,)?[^,]+", re.IGNORECASE)
_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+")
_LONGEST_WAIT_SECONDS = 999_999_999.0
_LONGEST_HEADER = 1000


def seconds_to_wait(header: str) -> float | None:
    """
    Read ``Retry-After``: seconds, also with a fraction, or an HTTP date.

    Of several the longest wait, since each may be of another server on the way.

    :param header: its value; empty where there is none.
    :return: seconds; None when the header asks for no wait.
    """
    waits = [_seconds_of(part) for part in _PARTS.findall(header[:_LONGEST_HEADER])]
    return max((wait for wait in waits if wait is not None), default=None)


def _seconds_of(text: str) -> float | None:
    """Read one ``Retry-After``; None when it is neither seconds nor a date."""
    text = text.strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), _LONGEST_WAIT_SECONDS)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, OverflowError, TypeError, IndexError):  # a server can write anything
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
