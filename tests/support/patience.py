"""Waits for a state, with a ceiling that only a hang can reach."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_SECONDS = 600
"""Far beyond what anything here takes, also on a machine with much else to do."""


def wait_until(condition: Callable[[], object], what: str = "the condition") -> None:
    """Wait until the condition gives something true."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < until, f"never: {what}"
        time.sleep(0.005)
