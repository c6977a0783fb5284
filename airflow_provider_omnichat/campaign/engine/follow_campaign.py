"""Looks up what became of sent invites, and writes it where their rows live."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice

from airflow_provider_omnichat.api.aio import AsyncOmnichatClient
from airflow_provider_omnichat.api.logs import REACH, RequestLimit, SmsLogs, can_be_asked
from airflow_provider_omnichat.api.outcomes import Delivery
from airflow_provider_omnichat.campaign.model.delivery import DeliveryHome, FinalStatus, SentInvite

SAMPLE_SIZE = 51
"""Ids of the vendor's length, 39 characters, that one request takes."""

# Written each 100 seconds or so, at the vendor's limit: what a killed worker has found since is asked for again.
_BLOCK = 200 * SAMPLE_SIZE


@dataclass
class DeliveryReport:
    """
    How a campaign stands.

    :param known: invites by state; those out of reach and those that cannot be asked for are not among them.
    :param out_of_reach: older than the vendor's logs, and without a final status.
    :param not_asked: their message ids are none that can be asked for.
    :param sample: message ids of invites that are waited for, by chance, and as many as one request takes.
    """

    known: dict[Delivery, int] = field(default_factory=lambda: dict.fromkeys(Delivery, 0))
    out_of_reach: int = 0
    not_asked: int = 0
    sample: list[str] = field(default_factory=list)
    _offered: int = 0

    @property
    def waiting(self) -> int:
        """Invites whose final status may still come."""
        return self.known[Delivery.PENDING] + self.known[Delivery.NOT_SEEN]

    @property
    def counts(self) -> dict[str, int]:
        """All of it, for XCom; adds up to the invites."""
        known = {state.value: count for state, count in self.known.items()}
        return {**known, "out_of_reach": self.out_of_reach, "not_asked": self.not_asked}

    @property
    def delivered_ratio(self) -> float | None:
        """Delivered, of those whose end is known; None where no end is known."""
        ends = (Delivery.DELIVERED, Delivery.UNDELIVERABLE, Delivery.EXPIRED, Delivery.REJECTED)
        ended = sum(self.known[state] for state in ends)
        return self.known[Delivery.DELIVERED] / ended if ended else None

    def offer(self, message_id: str) -> None:
        """Let an invite that is waited for be in the sample, each with the same chance."""
        self._offered += 1
        if len(self.sample) < SAMPLE_SIZE:
            self.sample.append(message_id)
        elif (place := random.randrange(self._offered)) < SAMPLE_SIZE:  # noqa: S311 - a sample, not a secret
            self.sample[place] = message_id


def sample_of(homes: Sequence[DeliveryHome]) -> list[str]:
    """
    Pick some of the invites that are waited for, without asking the vendor.

    :param homes: where they live.
    """
    report, now = DeliveryReport(), datetime.now(UTC)
    for home in homes:
        for invite in home.unfinished():
            if can_be_asked(invite.message_id) and not _is_out_of_reach(invite, now):
                report.offer(invite.message_id)
    return report.sample


def follow(
    homes: Sequence[DeliveryHome], client: AsyncOmnichatClient, limit: RequestLimit | None = None
) -> DeliveryReport:
    """
    Ask the vendor's logs for all invites that have no final status yet, and write what is final.

    What is found is written in blocks, so that little is asked for again after a kill. 100,000 invites take 16 minutes
    at the vendor's limit.

    :param homes: where the invites live.
    :param client: not yet entered.
    :param limit: the vendor's limit on requests.
    :raises SmsLogsError: the logs cannot be read.
    :raises StorageError: a home cannot be read or written.
    """
    return asyncio.run(_follow(homes, client, limit))


async def _follow(
    homes: Sequence[DeliveryHome], client: AsyncOmnichatClient, limit: RequestLimit | None
) -> DeliveryReport:
    report = DeliveryReport()
    async with client:
        logs = SmsLogs(client, limit)
        for home in homes:
            for block in _blocks(home.unfinished()):
                if final := await _ask(block, logs, report):
                    home.write(final)
            for state, count in home.counts().items():
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
        invites, state, status = asked.pop(message.message_id), message.delivery, message.status
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


def _blocks(invites: Iterator[SentInvite]) -> Iterator[list[SentInvite]]:
    while block := list(islice(invites, _BLOCK)):
        yield block
