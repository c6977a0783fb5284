"""Invites that an earlier try or run left in doubt, and that are looked up before they end as unknown."""

from __future__ import annotations

import asyncio
from collections import deque

from airflow_provider_omnichat.api.aio import AsyncOmnichatClient
from airflow_provider_omnichat.api.errors import SmsLogsError
from airflow_provider_omnichat.campaign.engine.look_up import LookUp
from airflow_provider_omnichat.campaign.engine.plan import Pace
from airflow_provider_omnichat.campaign.engine.process import StopSignal, WorkerThread
from airflow_provider_omnichat.campaign.engine.progress import Log
from airflow_provider_omnichat.campaign.engine.recorder import Recorder
from airflow_provider_omnichat.campaign.engine.report import CampaignReport
from airflow_provider_omnichat.campaign.engine.storage import Storage
from airflow_provider_omnichat.campaign.ledger.interface import Claim, Entry
from airflow_provider_omnichat.campaign.ledger.retake import is_in_doubt
from airflow_provider_omnichat.campaign.ledger.settle import settled
from airflow_provider_omnichat.campaign.model.rows import Candidate


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
        self._is_on = pace.looks_up
        self._look_up = LookUp(client, pace.retry_budget)
        self._storage = storage
        self._writer = writer
        self._recorder = recorder
        self._report = report
        self._waiting: deque[tuple[Candidate, Entry]] = deque()

    def takes(self, candidate: Candidate, entry: Entry) -> bool:
        """Keep a row that is in doubt, to look it up; return False for any other."""
        is_due = self._is_on and is_in_doubt(entry) and candidate.recipient not in self._storage.earlier
        if is_due:
            self._waiting.append((candidate, entry))
        return is_due

    async def look_up(self, log: Log, stop: StopSignal) -> None:
        """Look up all of them, until *stop* is set."""
        if not self._waiting or self._report.was_stopped or self._report.failure is not None:
            return
        count = len(self._waiting)
        log.info("Looking up %s invites that were in doubt before in the vendor's SMS logs", count)
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
        """Record those that were not looked up as they are."""
        while self._waiting:
            self._recorder.add_earlier(*self._waiting.popleft())

    async def _look_all_up(self, log: Log) -> int:
        found = 0
        while self._waiting and self._report.failure is None:
            candidate, entry = self._waiting[0]
            try:
                settlement = await self._look_up.find(candidate.invite.to, entry)
            except SmsLogsError as error:
                log.warning("%s. %s invites stay in doubt", str(error).rstrip("."), len(self._waiting))
                break
            if settlement is not None and await self._writer.call(
                self._storage.settle, Claim.of(candidate), settlement
            ):
                entry = settled(entry, settlement, no_try_runs=True)
                found += 1
            self._waiting.popleft()
            self._recorder.add_earlier(candidate, entry)
        return found
