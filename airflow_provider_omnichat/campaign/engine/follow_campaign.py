"""Looks up the final status of sent invites, and writes it to their rows."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice

from airflow_provider_omnichat.api.aio import AsyncOmnichatClient
from airflow_provider_omnichat.api.logs import REACH, RequestLimit, SmsLogs, can_be_asked
from airflow_provider_omnichat.api.outcomes import Delivery
from airflow_provider_omnichat.campaign.model.delivery import FinalStatus, SentInvite
from airflow_provider_omnichat.campaign.model.place import Place

SAMPLE_SIZE = 51
"""Ids of the vendor's length, 39 characters, that one request takes."""

# Written about every 100 seconds, at the vendor's limit: what a killed worker found since then is asked for again.
_BLOCK = 200 * SAMPLE_SIZE


@dataclass
class DeliveryReport:
    """How many invites of a campaign were delivered."""

    known: dict[Delivery, int] = field(default_factory=lambda: dict.fromkeys(Delivery, 0))  # without the next two
    out_of_reach: int = 0  # older than the vendor's logs, and without a final status
    not_asked: int = 0  # with a message id that the logs cannot be asked for
    # Random message ids of invites without a final status, at most as many as one request takes.
    sample: list[str] = field(default_factory=list)
    _offered: int = 0

    @property
    def waiting(self) -> int:
        """Invites whose final status may still come."""
        return self.known[Delivery.PENDING] + self.known[Delivery.NOT_SEEN]

    @property
    def counts(self) -> dict[str, int]:
        """All counts, for XCom; their sum is the number of invites."""
        known = {state.value: count for state, count in self.known.items()}
        return {**known, "out_of_reach": self.out_of_reach, "not_asked": self.not_asked}

    @property
    def delivered_ratio(self) -> float | None:
        """The delivered share of the invites with a final status; None without any."""
        ends = (Delivery.DELIVERED, Delivery.UNDELIVERABLE, Delivery.EXPIRED, Delivery.REJECTED)
        ended = sum(self.known[state] for state in ends)
        return self.known[Delivery.DELIVERED] / ended if ended else None

    def offer(self, message_id: str) -> None:
        """Add an invite to the sample, each with the same probability."""
        self._offered += 1
        if len(self.sample) < SAMPLE_SIZE:
            self.sample.append(message_id)
        elif (index := random.randrange(self._offered)) < SAMPLE_SIZE:  # noqa: S311 - a sample, not a secret
            self.sample[index] = message_id


def sample_of(places: Sequence[Place]) -> list[str]:
    """Pick some of the invites in these places that are waited for, without asking the vendor."""
    report, now = DeliveryReport(), datetime.now(UTC)
    for place in places:
        for invite in place.deliveries().unfinished():
            if can_be_asked(invite.message_id) and not _is_out_of_reach(invite, now):
                report.offer(invite.message_id)
    return report.sample


def follow(places: Sequence[Place], client: AsyncOmnichatClient, limit: RequestLimit | None = None) -> DeliveryReport:
    """
    Ask the vendor's logs for all invites without a final status, and write those that are final now.

    100,000 invites take 16 minutes at the vendor's limit. The client is not entered yet.
    """
    return asyncio.run(_follow(places, client, limit))


async def _follow(places: Sequence[Place], client: AsyncOmnichatClient, limit: RequestLimit | None) -> DeliveryReport:
    report = DeliveryReport()
    async with client:
        logs = SmsLogs(client, limit)
        for place in places:
            deliveries = place.deliveries()
            unfinished = deliveries.unfinished()
            while block := list(islice(unfinished, _BLOCK)):
                if final := await _ask(block, logs, report):
                    deliveries.record(final)
            for state, count in deliveries.counts().items():
                report.known[state] += count
    return report


async def _ask(block: Sequence[SentInvite], logs: SmsLogs, report: DeliveryReport) -> list[FinalStatus]:
    now = datetime.now(UTC)
    asked: dict[str, list[SentInvite]] = {}
    for invite in block:
        if _is_out_of_reach(invite, now):
            report.out_of_reach += 1
        elif not can_be_asked(invite.message_id):
            report.not_asked += 1
        else:
            asked.setdefault(invite.message_id, []).append(invite)
    final = []
    async for message in logs.by_message_ids(list(asked)):
        invites, state, status = asked.pop(message.message_id), message.status.delivery, message.status
        for invite in invites:
            if state.is_final:
                facts = (status.id, status.name, message.done_at, message.price, message.currency)
                final.append(FinalStatus(invite, state, *facts))
            else:
                report.known[state] += 1
                report.offer(invite.message_id)
    for message_id, invites in asked.items():
        report.known[Delivery.NOT_SEEN] += len(invites)
        report.offer(message_id)
    return final


def _is_out_of_reach(invite: SentInvite, now: datetime) -> bool:
    return invite.sent_at is not None and invite.sent_at < now - REACH
