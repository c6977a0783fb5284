"""What is known of an accepted invite after it was sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

from airflow_provider_omnichat.api.outcomes import Delivery


class SentInvite(NamedTuple):
    """An accepted invite; *row* identifies its row in its place."""

    message_id: str
    sent_at: datetime | None
    row: Any = ""


class FinalStatus(NamedTuple):
    """How an invite ended, as the vendor's SMS logs say; the price is that of all its segments."""

    invite: SentInvite
    delivery: Delivery
    status_id: int | None
    status_name: str | None
    done_at: datetime | None
    price: Decimal | None
    currency: str | None


class Deliveries(Protocol):
    """The final statuses of accepted invites, kept with their rows."""

    def unfinished(self) -> Iterator[SentInvite]:
        """Read the accepted invites without a final status; :meth:`record` may be called in between."""

    def record(self, statuses: Sequence[FinalStatus]) -> None:
        """Write final statuses; the same ones may come again."""

    def counts(self) -> Mapping[Delivery, int]:
        """Count the invites that have a final status."""

    def costs(self) -> Mapping[str, Decimal]:
        """Sum the prices of these, by currency."""
