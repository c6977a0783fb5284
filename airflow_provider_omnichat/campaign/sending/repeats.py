"""
Whether invites in doubt may be sent again with the same id.

No answer says whether the vendor recognises a repeat: only a refusal with status 23 does, at once or in its logs. So
one is repeated first, of a message that the vendor has: if ids are ignored, one person gets a second SMS, not all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from math import inf
from time import monotonic, time

from airflow_provider_omnichat.api.aio import AsyncOmnichatClient
from airflow_provider_omnichat.api.errors import IdsIgnoredError, SmsLogsError
from airflow_provider_omnichat.api.logs import LoggedMessage, SmsLogs, pack
from airflow_provider_omnichat.api.models import Invite
from airflow_provider_omnichat.api.retry import Backoff

_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.5, 15.0
_UNCLEAR = "the logs have two messages under one id, and the vendor has refused neither"


def _unreadable(error: SmsLogsError) -> str:
    return f"{error}. Without them, nobody knows whether the vendor recognises a repeat"


class Repeats:
    """
    What is known of the vendor.

    :param log_delay: seconds after which a message that was taken is in its logs.
    :param note: keeps the id that is repeated next, for the case that this try is killed before it knows the end.
    :param last: the id that an earlier try has kept; nothing else is repeated until it is known what became of it.
    :param repeat_seconds: how long after its first request an invite is repeated.
    """

    def __init__(
        self,
        client: AsyncOmnichatClient,
        log_delay: float,
        note: Callable[[str | None], Awaitable[bool]],
        last: str | None = None,
        repeat_seconds: float = 0.0,
    ) -> None:
        self.note = note
        self.last = last
        self._repeat_seconds = repeat_seconds
        self._log_delay = log_delay
        self._logs = SmsLogs(client, backoff=Backoff(budget=log_delay, first=1.0))
        self._began, self._wait = monotonic(), _FIRST_WAIT_SECONDS
        self.are_recognised = self.is_looking = False
        self.failure: IdsIgnoredError | None = None
        """The vendor has delivered a message twice."""
        self.refusal: str | None = None
        """Why nothing more must be repeated; None if it may be."""

    def first_request_of(self, invite: Invite) -> float:
        """Return the POSIX time of the first request of an invite in doubt."""
        return (invite.repeat_until or 0.0) - self._repeat_seconds

    def hold(self, message_id: str) -> None:
        """Repeat no other until it is known what became of a repeat that was not answered."""
        self.last, self._began = message_id, monotonic()

    async def choose(self, waiting: Mapping[str, float]) -> str | None:
        """
        Return the id to repeat next; None, after a moment, while there is none.

        Only the repeat of a message that the vendor has taken tells whether it recognises one. If the logs have none
        after *log_delay*, one that they do not have is repeated.

        :param waiting: the POSIX time of the last request, by id.
        """
        self.is_looking = True
        try:
            return await self._choose(waiting)
        except IdsIgnoredError as error:
            self.failure = error
            return None
        finally:
            self.is_looking = False

    async def _choose(self, waiting: Mapping[str, float]) -> str | None:
        waiting = waiting if self.last is None else {self.last: waiting.get(self.last, inf)}
        rows: dict[str, Sequence[LoggedMessage]] = {}
        try:
            for ids in pack(waiting, []):
                rows |= {} if rows else await self._logs.rows_of(ids)
        except SmsLogsError as error:
            if self.last is None:
                return next(iter(waiting))  # its answer may tell
            self.refusal = _unreadable(error)
            return None
        self.are_recognised |= any(row.is_repeat for found in rows.values() for row in found)
        is_over = monotonic() - self._began >= self._log_delay
        if self.are_recognised:
            return None
        if any(len(found) > 1 for found in rows.values()):
            self.refusal = _UNCLEAR if is_over else None
        elif inf in waiting.values():
            self.last = None if is_over else self.last
        elif rows:
            return next(iter(rows))
        missed = [message_id for message_id, at in waiting.items() if not rows and time() - at >= self._log_delay]
        if missed:
            return missed[0]
        await asyncio.sleep(self._wait)
        self._wait = min(2 * self._wait, _LONGEST_WAIT_SECONDS)
        return None

    async def verify(self, message_id: str) -> None:
        """Look at what became of a repeat, until that is known or *log_delay* has passed."""
        self.is_looking = True
        try:
            await self._verify(message_id)
        except IdsIgnoredError as error:
            self.failure = error
        finally:
            self.is_looking = False

    async def settle(self) -> None:
        """Forget the last repeat, unless a later try should know at once what became of it."""
        if self.failure is None and not self.are_recognised and self.refusal is None:
            self.last = None
            await self.note(None)

    async def _verify(self, message_id: str) -> None:
        end, wait = monotonic() + self._log_delay, _FIRST_WAIT_SECONDS
        while not self.are_recognised:
            try:
                rows = (await self._logs.rows_of([message_id])).get(message_id, ())
            except SmsLogsError as error:
                self.refusal = _unreadable(error)
                return
            self.are_recognised = any(row.is_repeat for row in rows)
            left = end - monotonic()
            if left <= 0 and len(rows) > 1 and not self.are_recognised:
                self.refusal = _UNCLEAR
            if left <= 0:
                return
            await asyncio.sleep(min(wait, left) if not self.are_recognised else 0)
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)
