"""What tasks make of what a vendor allows, and how much is refused: a model, where hours take a minute."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from typing import NamedTuple

from tests.support.pace_model import (
    OK,
    REFUSED,
    Server,
    Task,
    by_chance,
    fixed_window,
    in_virtual_time,
    sliding_window,
    token_bucket,
)

_VENDORS: dict[str, Callable[[int, float | None], Server]] = {
    "token bucket": token_bucket,
    "fixed window": fixed_window,
    "sliding window": sliding_window,
}
_SECONDS = {10: 240.0, 50: 120.0, 150: 90.0, 1000: 60.0}
_SETTLED_AFTER_SECONDS = 10.0


class Cell(NamedTuple):
    """Tasks that share an account, what it allows in a second, and what it refuses besides."""

    vendor: str
    tasks: int
    limit: int
    by_chance: float
    retry_after: float | None


class Found(NamedTuple):
    """
    What they made of it.

    :param used: share of what is allowed.
    :param refused: share of requests that were above the limit.
    :param unfair: the fastest task's share of the slowest's.
    """

    used: float
    refused: float
    unfair: float


def cells() -> list[Cell]:
    """Give all that are measured."""
    chances = product(["token bucket"], (1, 4), _SECONDS, (0.0, 0.01, 0.03, 0.05), (None, 1.0))
    limits = product(["fixed window", "sliding window"], (1, 4), _SECONDS, (0.0,), (None, 1.0))
    return [Cell(*each) for each in (*chances, *limits)]


def measure(cell: Cell) -> Found:
    """Run one."""
    found: Found = in_virtual_time(lambda: _run(cell))
    return found


def measure_all() -> dict[Cell, Found]:
    """Run all, on all cores."""
    largest_first = sorted(cells(), key=lambda cell: -cell.limit)
    with ProcessPoolExecutor() as pool:
        return dict(zip(largest_first, pool.map(measure, largest_first), strict=True))


async def _run(cell: Cell) -> Found:
    seconds = _SECONDS[cell.limit]
    server = by_chance(cell.by_chance, cell.retry_after, server=_VENDORS[cell.vendor](cell.limit, cell.retry_after))
    tasks = [Task(server) for _ in range(cell.tasks)]

    async def start(number: int) -> None:
        await asyncio.sleep(0.1 * number)
        await tasks[number].run(seconds - 0.1 * number)

    await asyncio.gather(*(start(number) for number in range(cell.tasks)))
    begin = _SETTLED_AFTER_SECONDS
    accepted = [task.count(OK, begin, seconds) for task in tasks]
    requests = sum(1 for task in tasks for at, _ in task.answers if at >= begin)
    return Found(
        sum(accepted) / (cell.limit * (seconds - begin)),
        sum(task.count(REFUSED, begin) for task in tasks) / requests,
        max(accepted) / max(1, min(accepted)),
    )
