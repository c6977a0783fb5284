"""
Whether invites in doubt may be sent again with the same id.

No answer says whether the vendor recognises a repeat: only a refusal with status 23 does, at once or in its logs. So
until one was recognised, invites are repeated one at a time: if ids are ignored, one person gets a second SMS, not all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

from airflow_provider_omnichat.api.aio import AsyncOmnichatClient
from airflow_provider_omnichat.api.errors import IdsIgnoredError, SmsLogsError
from airflow_provider_omnichat.api.logs import SmsLogs
from airflow_provider_omnichat.api.retry import Backoff

_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.5, 15.0


class Repeats:
    """
    What is known of the vendor.

    :param log_delay: seconds after which a message that was taken is in its logs.
    :param note: keeps the id that is repeated next, for the case that this try is killed before it knows the end.
    :param last: the id that an earlier try has kept.
    """

    def __init__(
        self,
        client: AsyncOmnichatClient,
        log_delay: float,
        note: Callable[[str | None], Awaitable[bool]],
        last: str | None = None,
    ) -> None:
        self.note = note
        self.last = last
        self._log_delay = log_delay
        self._logs = SmsLogs(client, backoff=Backoff(budget=log_delay, first=1.0))
        self.are_recognised = self.is_verifying = False
        self.failure: IdsIgnoredError | None = None
        self.refusal: str | None = None
        """Why nothing more must be repeated; None if it may be."""

    async def verify(self, message_id: str) -> None:
        """Look at what became of a repeat, until that is known or *log_delay* has passed."""
        self.is_verifying = True
        try:
            await self._look(message_id)
            if not self.are_recognised and self.refusal is None:
                await self.note(None)
        except IdsIgnoredError as error:  # still noted: a later try stops before it repeats anything
            self.failure = error
        finally:
            self.is_verifying, self.last = False, None

    async def _look(self, message_id: str) -> None:
        end, wait = monotonic() + self._log_delay, _FIRST_WAIT_SECONDS
        while not self.are_recognised:
            try:
                rows = (await self._logs.rows_of([message_id])).get(message_id, ())
            except SmsLogsError as error:
                self.refusal = f"{error}. Without them, nobody knows whether the vendor recognises a repeat"
                return
            self.are_recognised = any(row.is_repeat for row in rows)
            left = end - monotonic()
            if left <= 0 and len(rows) > 1 and not self.are_recognised:
                self.refusal = "the logs have two messages under one id, and the vendor has refused neither"
            if left <= 0:
                return
            await asyncio.sleep(min(wait, left) if not self.are_recognised else 0)
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)
