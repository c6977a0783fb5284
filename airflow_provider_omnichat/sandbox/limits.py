"""The vendor's limits: on requests, and on texts to one number."""

from __future__ import annotations

import time
from collections import deque


class TokenBucket:
    """Lets *rate* requests a second through, all at once after a quiet second."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._size = max(rate, 1.0)
        self._tokens = self._size
        self._filled = time.monotonic()

    def takes(self) -> bool:
        """Take a token; return False if there is none."""
        now = time.monotonic()
        self._tokens = min(self._size, self._tokens + (now - self._filled) * self._rate)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Window:
    """Lets so many requests through within any stretch of time, as the vendor's logs do."""

    def __init__(self, requests: int, seconds: float) -> None:
        self._taken: deque[float] = deque(maxlen=requests)
        self._seconds = seconds
        self.passed = 0

    def takes(self) -> bool:
        """Let a request through; return False if it is one too many."""
        now = time.monotonic()
        if len(self._taken) == self._taken.maxlen and (not self._taken or now - self._taken[0] < self._seconds):
            return False
        self._taken.append(now)
        self.passed += 1
        return True


class FloodFilter:
    """The vendor's flooding filter, for each destination number. What it refuses counts as well, as at the vendor."""

    WINDOW = 3600.0
    MOST_IDENTICAL = 6
    MOST_DIFFERENT = 20

    def __init__(self) -> None:
        self._texts: dict[str, deque[tuple[float, str]]] = {}

    def refuses(self, to: str, message: str) -> bool:
        """Count a message to a number, without its link; return whether it is one too many."""
        now = time.monotonic()
        texts = self._texts.setdefault(to, deque())
        while texts and texts[0][0] <= now - self.WINDOW:
            texts.popleft()
        texts.append((now, message))
        identical = sum(1 for _, text in texts if text == message)
        return identical > self.MOST_IDENTICAL or len({text for _, text in texts}) > self.MOST_DIFFERENT
