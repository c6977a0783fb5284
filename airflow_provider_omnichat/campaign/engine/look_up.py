"""
Looks up invites in doubt in the vendor's SMS logs.

A message that is found was sent. One that is not found proves nothing: the logs lag, go back 48 hours, and are not
documented to list invites. So nothing is ever sent because of a look-up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from airflow_provider_omnichat.api.aio import AsyncOmnichatClient
from airflow_provider_omnichat.api.logs import REACH, LoggedMessage, SmsLogs
from airflow_provider_omnichat.api.models import InviteAnswer
from airflow_provider_omnichat.api.retry import Backoff
from airflow_provider_omnichat.campaign.engine.process import StopSignal, WorkerThread
from airflow_provider_omnichat.campaign.ledger.interface import Entry, Settlement

BEFORE = timedelta(minutes=1)
"""
How long before its claim the invite's message may have been sent, because clocks differ.

A longer time would take another campaign's message to the same number for the invite.
"""

AFTER = timedelta(minutes=15)
"""How long after its claim: an invite waits for its turn, and is tried again while the vendor does not take it."""

_BY = "look-up"
_SETTLED_AT_ONCE = 20  # found in ten seconds


class LookUp:
    """Looks up one number after the other; the vendor allows 120 requests a minute."""

    def __init__(self, client: AsyncOmnichatClient, patience: float) -> None:
        self._logs = SmsLogs(client, backoff=Backoff(budget=patience, first=1.0))

    async def find(self, number: str, doubt: Entry) -> Settlement | None:
        """
        Return the settlement if exactly one message went to a number around the time of the claim.

        :raises SmsLogsError: the logs cannot be read.
        """
        # An invite that was claimed again and not sent keeps the time at which it may have been sent.
        since, until = min(doubt.claimed_at or doubt.at, doubt.at) - BEFORE, doubt.at + AFTER
        if until < datetime.now(UTC) - REACH:
            return None
        found = {
            message.message_id: message
            async for message in self._logs.by_destination([number], since, until)
            if message.destination == number and message.sent_at is not None and since <= message.sent_at <= until
        }
        # Only their texts tell two messages apart, and the logs need not have those.
        if len(found) != 1:
            return None
        (message,) = found.values()
        # Not as 2026-11-30 23:06, which pages would mask as a phone number.
        why = f"found in the vendor's SMS log, sent at {message.sent_at:%H:%M:%S} UTC on {message.sent_at:%d %B %Y}"
        return Settlement(was_sent=True, by=_BY, why=why, at=datetime.now(UTC), answer=_answer_of(message))


def _answer_of(message: LoggedMessage) -> InviteAnswer | None:
    answer = {"messageId": message.message_id, "to": message.destination, "status": dict(message.status.raw)}
    try:
        return InviteAnswer.from_json(answer)
    except ValueError:  # the status cannot be read, but the message was sent
        return None


def look_up_once(client: AsyncOmnichatClient, number: str, doubt: Entry, patience: float) -> Settlement | None:
    """
    Look up a single invite without an event loop; see :meth:`LookUp.find`.

    :param client: not entered yet.
    :param patience: seconds within which unreadable logs are read again.
    :raises SmsLogsError: the logs cannot be read.
    """

    async def find() -> Settlement | None:
        async with client:
            return await LookUp(client, patience).find(number, doubt)

    return asyncio.run(find())


@dataclass(slots=True)
class Settling:
    """
    Progress of :func:`settle_found`.

    :param still_in_doubt: including those not looked up yet.
    :param found: invites found in the logs and settled as sent.
    """

    still_in_doubt: int
    found: int = 0


async def settle_found(
    doubts: Mapping[str, Entry],
    settle: Callable[[Mapping[str, Settlement]], Collection[str]],
    client: AsyncOmnichatClient,
    patience: float,
    settling: Settling,
    stop: StopSignal,
) -> None:
    """
    Look up invites in doubt, and settle those that are found.

    :param doubts: by number.
    :param settle: settles some, by number, and returns those that the ledger refuses; called in a thread.
    :param client: not entered yet.
    :param patience: seconds within which unreadable logs are read again.
    :param settling: updated as the look-ups proceed.
    :raises SmsLogsError: the logs cannot be read; what was found is settled.
    :raises LedgerError: the ledger cannot be read or written.
    """
    writer, stopped, found = WorkerThread("omnichat-ledger"), [], dict[str, Settlement]()
    stop.listen(lambda: stopped.append(True))

    async def write() -> None:
        due = found.copy()
        found.clear()
        count = len(due) - len(await writer.call(settle, due))
        settling.found += count
        settling.still_in_doubt -= count

    try:
        async with client:
            look_up = LookUp(client, patience)
            for number, doubt in doubts.items():
                if stopped:
                    break
                if settlement := await look_up.find(number, doubt):
                    found[number] = settlement
                if len(found) == _SETTLED_AT_ONCE:
                    await write()
    finally:
        if found:
            await write()
        writer.close()
