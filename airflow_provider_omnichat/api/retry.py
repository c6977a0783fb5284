"""How long to wait before a request that was certainly not taken is sent again."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# One of the values of a header that came more than once: both clients join them with commas, and a date contains one.
_VALUE = re.compile(r"\s*(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,)?[^,]+", re.IGNORECASE)
_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+")
_LONGEST_WAIT_SECONDS = 999_999_999.0
_LONGEST_HEADER = 1000


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with jitter within a budget of time; all in seconds."""

    budget: float = 60.0  # from the first attempt to the start of the last one; 0 means a single attempt
    first: float = 0.5  # before the second attempt, at most
    longest: float = 30.0  # between two attempts, at most, unless the server asks for more

    def delay(self, attempt: int, elapsed: float, retry_after: float | None = None) -> float | None:
        """Return the seconds to wait, at least *retry_after*; None if the budget does not cover another attempt."""
        step = min(self.longest, self.first * 2.0 ** min(attempt - 1, 16))
        # Half of each wait is chance, so that tasks that were refused together do not come back together.
        wait = step * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, keeps no secret
        if retry_after is not None:
            wait = retry_after + min(wait, 1.0)
        return wait if elapsed + wait <= self.budget else None


def seconds_to_wait(header: str) -> float | None:
    """Return the seconds that a ``Retry-After`` asks for, in seconds or as an HTTP date; None if it asks for none."""
    # Of several the longest wait: each may come from another server on the way.
    waits = [_seconds_of(value) for value in _VALUE.findall(header[:_LONGEST_HEADER])]
    return max((wait for wait in waits if wait is not None), default=None)


def _seconds_of(text: str) -> float | None:
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
