"""The pace in every combination of tasks, limits and ways to count, with and without ``Retry-After``."""

from __future__ import annotations

import asyncio
from collections import deque

import pytest

from tests.campaign.sending.test_pacer import (
    OK,
    REFUSED,
    Answer,
    Server,
    Task,
    fixed_window,
    in_virtual_time,
    token_bucket,
)

pytestmark = pytest.mark.slow

SECONDS = 90.0


def sliding_window(limit: int, retry_after: float | None = None) -> Server:
    """So many in any second."""
    taken: deque[float] = deque()

    def server(now: float) -> Answer:
        while taken and taken[0] <= now - 1:
            taken.popleft()
        if len(taken) >= limit:
            return REFUSED, retry_after
        taken.append(now)
        return OK, None

    return server


NOT_REACHED = {
    (1, 200, sliding_window, None): "0.896 of the limit; why is not known yet",
    (5, 50, token_bucket, None): "5.2 % refused; why is not known yet",
}


@pytest.mark.parametrize("retry_after", [None, 1.0])
@pytest.mark.parametrize("vendor", [token_bucket, fixed_window, sliding_window])
@pytest.mark.parametrize("limit", [50, 200])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_tasks_use_the_limit_with_few_refusals(request, count, limit, vendor, retry_after):
    reason = NOT_REACHED.get((count, limit, vendor, retry_after))
    if reason:
        request.applymarker(pytest.mark.xfail(strict=True, reason=reason))

    async def main():
        server = vendor(limit, retry_after)
        tasks = [Task(server) for _ in range(count)]

        async def start(number: int) -> None:
            await asyncio.sleep(0.1 * number)
            await tasks[number].run(SECONDS - 0.1 * number)

        await asyncio.gather(*(start(number) for number in range(count)))
        accepted = sum(task.count(OK, 5.0) for task in tasks)
        refused = sum(task.count(REFUSED) for task in tasks)
        # A window gives nothing back for the second that each refusal with Retry-After costs.
        lost = vendor is not token_bucket and retry_after is not None
        assert accepted > (0.75 if lost else 0.9) * limit * (SECONDS - 5)
        assert refused < 0.05 * (refused + sum(task.count(OK) for task in tasks))

    in_virtual_time(main)
