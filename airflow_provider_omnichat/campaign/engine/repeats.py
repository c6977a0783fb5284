"""
Which invites in doubt are sent again with the same id.

No answer says whether the vendor recognises a repeat: only a refusal with status 23 does, at once or in its logs. So
one is repeated first, of a message that the vendor has: if ids are ignored, one person gets a second SMS, not all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import time

from airflow_provider_omnichat.api.aio import AsyncOmnichatClient
from airflow_provider_omnichat.api.errors import SmsLogsError
from airflow_provider_omnichat.api.logs import LoggedMessage, SmsLogs, pack
from airflow_provider_omnichat.api.retry import Backoff
from airflow_provider_omnichat.campaign.ledger.interface import Entry
from airflow_provider_omnichat.campaign.model.rows import Candidate
from airflow_provider_omnichat.campaign.sending.sender import Ended

_UNCLEAR = "the logs have two messages under one id, and the vendor has refused neither"
_UNREADABLE = "without them, nobody knows whether the vendor recognises a repeat"


@dataclass(slots=True)
class Doubt:
    """An invite in doubt."""

    candidate: Candidate
    entry: Entry  # what the ledger has of it, or will have
    ended: Ended | None = None  # how this try has left it; None if it has not claimed it
    due_at: float = 0.0  # POSIX time from which it may be repeated

    @property
    def message_id(self) -> str:
        return self.entry.message_id or ""

    @property
    def asked_at(self) -> float:
        return self.entry.at.timestamp()


class Repeats:
    """What is known of the vendor, in whose logs a message that was taken is after *log_delay* seconds."""

    def __init__(self, client: AsyncOmnichatClient, log_delay: float) -> None:
        self._logs = SmsLogs(client, backoff=Backoff(budget=log_delay, first=1.0))
        self._log_delay = log_delay
        self._log_seconds = 0.0
        self.are_recognised = False
        self.refusal: str | None = None
        """Why nothing more must be repeated; None if it may be."""
        self.unproved: dict[str, tuple[float, float]] = {}
        """The ids that were repeated: when each may be once more, and until when the logs may not tell of it yet."""

    def note(self, message_id: str, by_earlier_try: float | None = None) -> None:
        """Note that an id is repeated now, or was, at a POSIX time, by an earlier try."""
        now = time()
        end = (by_earlier_try or now) + self._log_delay
        # As with the first request, the logs should soon have what this try has repeated.
        self.unproved[message_id] = (end if by_earlier_try else now + 2 * self._log_seconds, end)

    async def next(self, due: Sequence[Doubt], may_begin: bool) -> Sequence[Doubt]:
        """
        Return what is to be repeated now, one at a time until the vendor has recognised a repeat.

        Only the repeat of a message that the vendor has taken tells whether it recognises one. If the logs have none
        after *log_delay*, one that they do not have is repeated: with *may_begin*, also while no other is unproved.
        """
        if self.are_recognised:
            return due
        rows, waiting = dict[str, Sequence[LoggedMessage]](), list(self.unproved)
        try:
            for ids in pack(waiting or [doubt.message_id for doubt in due], []):
                rows |= {} if rows and not waiting else await self._logs.rows_of(ids)
        except SmsLogsError as error:
            if not waiting:
                return due[:1] if may_begin else ()  # its answer may tell
            self.refusal = f"{str(error).rstrip('.')}; {_UNREADABLE}"
            return ()
        if any(row.is_repeat for found in rows.values() for row in found):
            self.are_recognised = True
            return due
        now = time()
        for message_id in waiting:
            if self.unproved[message_id][1] <= now:
                del self.unproved[message_id]
                if len(rows.get(message_id, ())) > 1:
                    self.refusal = _UNCLEAR
        if self.refusal or not (waiting or may_begin):
            return ()
        found = [each for each in due if len(rows.get(each.message_id, ())) == 1 and self._may_again(each, now)]
        missed = [] if waiting or rows else [each for each in due if now - each.asked_at >= self._log_delay]
        chosen = (found or missed)[:1]
        if chosen:
            self._log_seconds = now - chosen[0].asked_at
        return chosen

    def _may_again(self, doubt: Doubt, now: float) -> bool:
        return self.unproved.get(doubt.message_id, (now,))[0] <= now
