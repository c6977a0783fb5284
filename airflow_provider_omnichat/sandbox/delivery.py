"""What becomes of an accepted invite: its status moves on as time passes."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_omnichat.sandbox.outbox import Receipt
from airflow_provider_omnichat.sandbox.statuses import PENDING, REFUSALS, Status

TO_OPERATOR = Status(3, 2, "DELIVERED_TO_OPERATOR", "Message delivered to operator")
DELIVERED = Status(3, 5, "DELIVERED_TO_HANDSET", "Message delivered to handset")

NOT_SEEN = "not-seen"
ENDINGS: dict[str, Status | None] = {
    "delivered": DELIVERED,
    "undeliverable": REFUSALS[9],
    "expired": REFUSALS[15],
    "rejected": REFUSALS[4],
    "unknown": REFUSALS[29],
    "pending": PENDING,
    NOT_SEEN: None,
}
"""How an invite can end; ``pending`` never does, and ``not-seen`` is never in the logs."""


@dataclass(frozen=True)
class DeliveryPlan:
    """How accepted invites end, and when; see `Settings`. Same seed, same order of invites, same endings."""

    after: tuple[float, float]
    shares: Mapping[str, float]
    lag: float
    seed: int

    def at(self, receipt: Receipt, now: float) -> tuple[Status, float | None] | None:
        """Return the status of an accepted invite and when it became final; None while it is not in the logs."""
        chance = random.Random(f"{self.seed}/{receipt.sequence}")  # noqa: S311 - reproducible on purpose
        ending = self._ending(chance.random())
        done = receipt.time + chance.uniform(*self.after)
        final = ENDINGS[ending]
        if final is None or now < receipt.time + self.lag:
            return None
        if final is PENDING:
            return PENDING, None
        if now >= done:
            return final, done
        half_way = (receipt.time + done) / 2
        return (TO_OPERATOR if now >= half_way and final is DELIVERED else PENDING), None

    def _ending(self, drawn: float) -> str:
        for name, share in self.shares.items():
            if drawn < share:
                return name
            drawn -= share
        return "delivered"


def check_shares(shares: Mapping[str, float]) -> None:
    """Raise ValueError when an ending is not known, a share is below 0, or they add up to more than 1."""
    if unknown := [name for name in shares if name not in ENDINGS]:
        raise ValueError(f"{unknown[0]!r} is not an ending; the endings are {', '.join(ENDINGS)}")
    if not all(0 <= share <= 1 for share in shares.values()) or sum(shares.values()) > 1 + 1e-9:
        raise ValueError("shares are numbers of 0 to 1 that add up to at most 1")
