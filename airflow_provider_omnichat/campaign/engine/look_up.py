"""
What the vendor's SMS logs have of an invite in doubt.

A message that is found is one that was sent. One that is not found says nothing: the logs lag, go back 48 hours, and
that invites stand there is not documented. So nothing is ever sent because of a look-up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from airflow_provider_omnichat.api.aio import AsyncOmnichatClient
from airflow_provider_omnichat.api.logs import REACH, LoggedMessage, SmsLogs
from airflow_provider_omnichat.api.models import InviteAnswer
from airflow_provider_omnichat.api.retry import Backoff
from airflow_provider_omnichat.campaign.ledger.interface import Entry, Settlement

BEFORE = timedelta(minutes=1)
"""
How long before its claim a message may have been sent and still be the invite's: clocks differ.

More of it would take what another campaign has sent to the same number shortly before for the invite.
"""

AFTER = timedelta(minutes=15)
"""How long after it: an invite waits for its turn, and is tried again while the vendor does not take it."""

_BY = "look-up"


class LookUp:
    """
    Looks for invites in doubt, one number after the other: the vendor takes 120 questions a minute.

    :param logs: of the vendor.
    :param now: gives the time.
    """

    def __init__(self, logs: SmsLogs, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._logs = logs
        self._now = now

    async def find(self, number: str, doubt: Entry) -> Settlement | None:
        """
        Ask for the one message that went to a number around the time of the claim.

        Two messages can be told apart by nothing but their text, which the logs need not have: then none is taken.

        :param number: to which it was sent, digits only.
        :param doubt: what the ledger has of it.
        :return: what was found; None where nothing was, or nothing that must be this invite.
        :raises SmsLogsError: the logs cannot be read.
        """
        # One that was claimed again and not sent has the time of before: of when it may have been sent.
        since, until = min(doubt.claimed_at or doubt.at, doubt.at) - BEFORE, doubt.at + AFTER
        if until < self._now() - REACH:
            return None
        found = {
            message.message_id: message
            async for message in self._logs.by_destination([number], since, until)
            if message.destination == number and message.sent_at is not None and since <= message.sent_at <= until
        }
        if len(found) != 1:
            return None
        (message,) = found.values()
        why = f"found in the vendor's SMS log, sent at {message.sent_at:%Y-%m-%d %H:%M:%S} UTC"
        return Settlement(was_sent=True, by=_BY, why=why, at=self._now(), answer=_answer_of(message))


def _answer_of(message: LoggedMessage) -> InviteAnswer | None:
    answer = {"messageId": message.message_id, "to": message.destination, "status": dict(message.status.raw)}
    try:
        return InviteAnswer.from_json(answer)
    except ValueError:  # a status that cannot be read: that it was sent is known all the same
        return None


def look_up_once(client: AsyncOmnichatClient, number: str, doubt: Entry, patience: float) -> Settlement | None:
    """
    Look up a single invite, from where there is no event loop; see :meth:`LookUp.find`.

    :param client: not entered yet.
    :param number: to which it was sent, digits only.
    :param doubt: what the ledger has of it.
    :param patience: seconds within which the logs are asked again when they cannot be read.
    :raises SmsLogsError: the logs cannot be read.
    """

    async def find() -> Settlement | None:
        async with client:
            return await LookUp(SmsLogs(client, backoff=Backoff(budget=patience, first=1.0))).find(number, doubt)

    return asyncio.run(find())
