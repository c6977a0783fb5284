"""
Looks up invites in doubt in the vendor's SMS logs: by their id, or else by number and time.

A message that is found was sent. One that is not found proves nothing: the logs lag, go back 48 hours, and are not
documented to list invites of the OMNI Chat API. So nothing is ever sent because of a look-up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from time import time

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
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 1.0, 15.0
_SETTLED_AT_ONCE = 20  # found in ten seconds


class LookUp:
    """
    Looks up many ids at once, or one number after the other; the vendor allows 120 requests a minute.

    Unreadable logs are read again for *patience* seconds, and an id is looked for until *log_delay* seconds after the
    invite has ended.
    """

    def __init__(self, client: AsyncOmnichatClient, patience: float, log_delay: float = 0.0) -> None:
        self._logs = SmsLogs(client, backoff=Backoff(budget=patience, first=1.0))
        self._log_delay = log_delay

    async def find_ids(self, ended: Mapping[str, datetime]) -> AsyncGenerator[LoggedMessage]:
        """Yield what is found of message ids, each once; *ended* has when the invites ended, by id."""
        left = {message_id: at.timestamp() + self._log_delay for message_id, at in ended.items()}
        wait = _FIRST_WAIT_SECONDS
        while left:
            now = time()
            async for message in self._logs.by_message_ids(list(left)):
                del left[message.message_id]
                yield message
            left = {message_id: end for message_id, end in left.items() if end > now}
            if left:
                await asyncio.sleep(min(wait, max(0.0, max(left.values()) - time())))
                wait = min(2 * wait, _LONGEST_WAIT_SECONDS)

    async def find(self, number: str, doubt: Entry) -> Settlement | None:
        """
        Return the settlement of a doubt that is found.

        By its id; if it has none, it is found if exactly one message went to the number around the time of the claim.
        """
        if doubt.message_id:
            settlements = [settlement_of(each) async for each in self.find_ids({doubt.message_id: doubt.at})]
            return settlements[0] if settlements else None
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
        return settlement_of(next(iter(found.values()))) if len(found) == 1 else None


def settlement_of(message: LoggedMessage) -> Settlement:
    """Return the settlement of an invite whose message was found."""
    # Not as 2026-11-30 23:06, which pages would mask as a phone number.
    sent = f", sent at {message.sent_at:%H:%M:%S} UTC on {message.sent_at:%d %B %Y}" if message.sent_at else ""
    why = f"found in the vendor's SMS log{sent}"
    answer = {"messageId": message.message_id, "to": message.destination, "status": dict(message.status.raw)}
    settlement = Settlement(was_sent=True, by=_BY, why=why, at=datetime.now(UTC))
    with suppress(ValueError):  # its status cannot be read
        return replace(settlement, answer=InviteAnswer.from_json(answer))
    return settlement


def look_up_once(client: AsyncOmnichatClient, number: str, doubt: Entry, patience: float) -> Settlement | None:
    """Look up a single invite without an event loop, with a client not entered yet; see :meth:`LookUp.find`."""

    async def find() -> Settlement | None:
        async with client:
            return await LookUp(client, patience, client.account.log_delay).find(number, doubt)

    return asyncio.run(find())


@dataclass(slots=True)
class Settling:
    """Progress of :func:`settle_found`."""

    still_in_doubt: int  # including those not looked up yet
    found: int = 0  # and settled as sent


async def settle_found(
    doubts: Mapping[str, Entry],
    settle: Callable[[Mapping[str, Settlement]], Collection[str]],
    client: AsyncOmnichatClient,
    patience: float,
    settling: Settling,
    stop: StopSignal,
) -> None:
    """
    Look up invites in doubt, by number, and settle those that are found, also before an SmsLogsError is raised.

    :param settle: settles some, by number, and returns those that the ledger refuses; called in a thread.
    :param client: not entered yet.
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
