"""Invites in doubt that are looked up before they end as unknown: of earlier tries and runs, and with an id of ours."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import aclosing
from datetime import UTC, datetime

from airflow_provider_omnichat.api.aio import AsyncOmnichatClient
from airflow_provider_omnichat.api.errors import IdsIgnoredError, SmsLogsError
from airflow_provider_omnichat.api.logs import LoggedMessage
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.engine.look_up import LookUp, answer_of, settlement_of
from airflow_provider_omnichat.campaign.engine.plan import Pace
from airflow_provider_omnichat.campaign.engine.process import StopSignal, WorkerThread
from airflow_provider_omnichat.campaign.engine.progress import Log
from airflow_provider_omnichat.campaign.engine.recorder import Recorder
from airflow_provider_omnichat.campaign.engine.report import CampaignReport
from airflow_provider_omnichat.campaign.engine.storage import Storage
from airflow_provider_omnichat.campaign.ledger.interface import Claim, Entry, Settlement
from airflow_provider_omnichat.campaign.ledger.retake import is_in_doubt
from airflow_provider_omnichat.campaign.ledger.settle import settled
from airflow_provider_omnichat.campaign.model.rows import Candidate
from airflow_provider_omnichat.campaign.sending.sender import Ended


class Doubts:
    """Keeps invites in doubt until all others are sent, then looks them up."""

    def __init__(
        self,
        client: AsyncOmnichatClient,
        storage: Storage,
        writer: WorkerThread,
        recorder: Recorder,
        report: CampaignReport,
        pace: Pace,
    ) -> None:
        self.failure: IdsIgnoredError | None = None
        self._is_on = pace.looks_up
        self._look_up = LookUp(client, pace.retry_budget, pace.log_delay)
        self._storage = storage
        self._writer = writer
        self._recorder = recorder
        self._report = report
        self._waiting: deque[tuple[Candidate, Entry]] = deque()
        self._by_id: dict[str, tuple[Candidate, Entry]] = {}
        self._own: dict[str, tuple[Ended, datetime]] = {}

    def takes(self, candidate: Candidate, entry: Entry) -> bool:
        """Keep a row that is in doubt, to look it up; return False for any other."""
        is_due = self._is_on and is_in_doubt(entry) and candidate.recipient not in self._storage.earlier
        if is_due and entry.message_id:
            self._by_id[entry.message_id] = (candidate, entry)
        elif is_due:
            self._waiting.append((candidate, entry))
        return is_due

    def keeps(self, ended: Ended) -> bool:
        """Keep an invite of this try that ended in doubt and has an id; return False for any other."""
        recipient, message_id = ended.candidate.recipient, ended.candidate.invite.message_id
        is_doubt = ended.outcome is Outcome.UNKNOWN or (
            self._recorder.is_doubt(recipient) and ended.outcome in (Outcome.NOT_SENT, Outcome.HELD)
        )
        if not (self._is_on and is_doubt and message_id):
            return False
        self._own[message_id] = (ended, datetime.now(UTC))
        return True

    async def look_up(self, log: Log, stop: StopSignal) -> None:
        """Look up all of them, until *stop* is set."""
        count = len(self._waiting) + len(self._by_id) + len(self._own)
        if not count or self._report.was_stopped or self._report.failure is not None:
            return
        log.info("Looking up %s invites in doubt in the vendor's SMS logs", count)
        looking, stopping = asyncio.create_task(self._look_all_up(log)), asyncio.create_task(stop.wait())
        await asyncio.wait((looking, stopping), return_when=asyncio.FIRST_COMPLETED)
        for task in (looking, stopping):
            task.cancel()
        (found, _) = await asyncio.gather(looking, stopping, return_exceptions=True)
        if isinstance(found, Exception):
            raise found
        if isinstance(found, int):
            log.info("Found %s of %s invites in doubt in the vendor's SMS logs", found, count)

    def give_up(self) -> None:
        """Record those that were not looked up, or not found, as they are."""
        for ended, _ in self._own.values():
            self._recorder.add_sent(ended)
        for candidate, entry in (*self._by_id.values(), *self._waiting):
            self._recorder.add_earlier(candidate, entry)
        for kept in (self._own, self._by_id, self._waiting):
            kept.clear()

    async def _look_all_up(self, log: Log) -> int:
        found = 0
        try:
            ended = {name: entry.at for name, (_, entry) in self._by_id.items()}
            ended |= {name: at for name, (_, at) in self._own.items()}
            async with aclosing(self._look_up.find_ids(ended)) as messages:
                async for message in messages:
                    found += await self._found(message)
            while self._waiting and self._report.failure is None:
                candidate, entry = self._waiting[0]
                settlement = await self._look_up.find(candidate.invite.to, entry)
                found += await self._settle(candidate, entry, settlement)
                self._waiting.popleft()
        except SmsLogsError as error:
            left = len(self._waiting) + len(self._by_id) + len(self._own)
            log.warning("%s. %s invites stay in doubt", str(error).rstrip("."), left)
        except IdsIgnoredError as error:
            self.failure = error
        self.give_up()
        return found

    async def _found(self, message: LoggedMessage) -> bool:
        if message.message_id in self._own:
            ended, _ = self._own.pop(message.message_id)
            self._recorder.add_sent(
                ended._replace(outcome=Outcome.ACCEPTED, answer=answer_of(message) or ended.answer, reason=None)
            )
            return True
        candidate, entry = self._by_id.pop(message.message_id)
        return await self._settle(candidate, entry, settlement_of(message))

    async def _settle(self, candidate: Candidate, entry: Entry, settlement: Settlement | None) -> bool:
        """Add the row of an earlier doubt, and return whether it is one no more."""
        is_settled = settlement is not None and await self._writer.call(
            self._storage.settle, Claim.of(candidate), settlement
        )
        if is_settled and settlement is not None:
            entry = settled(entry, settlement, no_try_runs=True)
        self._recorder.add_earlier(candidate, entry)
        return is_settled
