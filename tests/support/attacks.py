"""How attacks are drawn: by one seed, so that each can be had again."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from hypothesis import HealthCheck, seed, settings

SEED = int(os.environ.get("ATTACK_SEED") or 1)
TIMES = float(os.environ.get("ATTACK_TIMES") or 1)
TRIED: Counter[str] = Counter()
"""How many inputs of each kind were tried, for the end of the run."""


def many(count: int) -> int:
    return max(1, int(count * TIMES))


def chance(*of: object) -> Random:
    """Return a random generator that depends on the seed and the arguments only, not on which thread asks first."""
    return Random(f"{SEED} {of}")


def attack(count: int) -> Callable[[Any], Any]:
    """Try a test of hypothesis so many times, by the seed."""
    chosen = settings(max_examples=many(count), deadline=None, database=None, suppress_health_check=list(HealthCheck))
    return lambda test: seed(SEED)(chosen(test))
