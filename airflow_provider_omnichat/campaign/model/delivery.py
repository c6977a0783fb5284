"""What is known of an accepted invite after it was sent, and where that is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple, Protocol

from airflow_provider_omnichat.api.outcomes import Delivery


class SentInvite(NamedTuple):
    """
    An accepted invite.

    :param message_id: of the vendor.
    :param sent_at: when it was accepted; None where nobody knows.
    :param place: by which its home finds its row again.
    """

    message_id: str
    sent_at: datetime | None
    place: str | int = ""


class FinalStatus(NamedTuple):
    """
    How an invite ended, as the vendor's SMS logs say.

    :param done_at: when; None where the vendor did not say.
    :param price: of all its parts; None where the vendor did not say.
    """

    invite: SentInvite
    delivery: Delivery
    status_id: int | None
    status_name: str | None
    done_at: datetime | None
    price: Decimal | None
    currency: str | None


class DeliveryHome(Protocol):
    """
    Where the rows of sent invites live.

    Calls come from one thread and may block.
    """

    @property
    def location(self) -> str:
        """Where it is, for people."""

    def unfinished(self) -> Iterator[SentInvite]:
        """Give the accepted invites that have no final status yet; :meth:`write` may be called in between."""

    def write(self, statuses: Sequence[FinalStatus]) -> None:
        """Keep final statuses; the same ones may come again."""

    def counts(self) -> Mapping[Delivery, int]:
        """Count the invites that have a final status."""

    def close(self) -> None:
        """Close what is open."""


class GivenMessages:
    """
    Message ids that somebody has given: there is nowhere to write to, and their statuses are only counted.

    :param message_ids: of the vendor; one that is there twice counts once.
    """

    location = "the given message ids"

    def __init__(self, message_ids: Sequence[str]) -> None:
        self._open = dict.fromkeys(message_ids)
        self._counts: dict[Delivery, int] = {}

    def unfinished(self) -> Iterator[SentInvite]:
        """See :class:`DeliveryHome`."""
        return iter([SentInvite(message_id, None) for message_id in self._open])

    def write(self, statuses: Sequence[FinalStatus]) -> None:
        """See :class:`DeliveryHome`."""
        for status in statuses:
            del self._open[status.invite.message_id]
            self._counts[status.delivery] = self._counts.get(status.delivery, 0) + 1

    def counts(self) -> Mapping[Delivery, int]:
        """See :class:`DeliveryHome`."""
        return self._counts

    def close(self) -> None:
        """See :class:`DeliveryHome`."""
