"""How long to wait before a request that was certainly not taken is sent again."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """
    Exponential backoff with jitter within a budget of time.

    :param budget: seconds from the first attempt within which the last one starts; 0 means a single attempt.
    :param first: seconds before the second attempt, at most.
    :param longest: seconds between two attempts, at most, where the server does not ask for more.
    """

    budget: float = 60.0
    first: float = 0.5
    longest: float = 30.0

    def delay(self, attempt: int, elapsed: float, retry_after: float | None = None) -> float | None:
        """
        Give the seconds to wait; None when the budget does not hold another attempt.

        Half of each wait is chance, so that tasks that were refused together do not come back together.

        :param attempt: how many attempts were made, from 1.
        :param elapsed: seconds since the first attempt began.
        :param retry_after: seconds that the server asked for; never undercut.
        """
        step = min(self.longest, self.first * 2.0 ** min(attempt - 1, 16))
        wait = step * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, keeps no secret
        if retry_after is not None:
            wait = retry_after + min(wait, 1.0)
        return wait if elapsed + wait <= self.budget else None
