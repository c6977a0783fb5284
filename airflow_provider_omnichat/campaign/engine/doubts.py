"""Invites that an earlier try left in doubt, and that are looked up before they are given up as unknown."""

from __future__ import annotations

import asyncio
from collections import deque

from airflow_provider_omnichat.api.aio import AsyncOmnichatClient
from airflow_provider_omnichat.api.errors import SmsLogsError
from airflow_provider_omnichat.api.logs import SmsLogs
from airflow_provider_omnichat.api.retry import Backoff
from airflow_provider_omnichat.campaign.engine.look_up import LookUp
from airflow_provider_omnichat.campaign.engine.plan import Pace
from airflow_provider_omnichat.campaign.engine.progress import Log
from airflow_provider_omnichat.campaign.engine.recorder import Recorder
from airflow_provider_omnichat.campaign.engine.report import CampaignReport
from airflow_provider_omnichat.campaign.engine.stop_signal import StopSignal
from airflow_provider_omnichat.campaign.engine.storage import Storage
from airflow_provider_omnichat.campaign.engine.worker_thread import WorkerThread
from airflow_provider_omnichat.campaign.ledger.interface import IN_DOUBT, Claim, Entry
from airflow_provider_omnichat.campaign.ledger.settle import settled
from airflow_provider_omnichat.campaign.model.rows import Candidate


class Doubts:
    """
    Keeps them until all else is sent, and then looks them up.

    :param client: entered.
    :param storage: of the campaign; used in *writer*.
    :param writer: writes to the storage.
    :param recorder: takes their rows.
    :param report: says whether the campaign shall end early.
    :param pace: says whether they are looked up, and for how long the logs are asked again.
    """

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
        self._look_up = LookUp(SmsLogs(client, backoff=Backoff(budget=pace.retry_budget, first=1.0)))
        self._storage = storage
        self._writer = writer
        self._recorder = recorder
        self._report = report
        self._waiting: deque[tuple[Candidate, Entry]] = deque()

    def takes(self, candidate: Candidate, entry: Entry) -> bool:
        """
        Take a row that is in doubt, to look it up; False for any other.

        :param candidate: the row.
        :param entry: what the ledger has of it.
        """
        is_due = (
            self._is_on
            and entry.same_task
            and entry.outcome in IN_DOUBT
            and candidate.recipient not in self._storage.earlier
        )
        if is_due:
            self._waiting.append((candidate, entry))
        return is_due

    async def look_up(self, log: Log, stop: StopSignal) -> None:
        """
        Look all of them up that there is time for.

        :param log: where it is said what came of it.
        :param stop: asks it to end early.
        """
        if not self._waiting or self._report.was_stopped or self._report.failure is not None:
            return
        count = len(self._waiting)
        log.info("%s invites are in doubt since an earlier try; they are looked up in the vendor's SMS logs", count)
        looking, stopping = asyncio.create_task(self._look_all_up(log)), asyncio.create_task(stop.wait())
        await asyncio.wait((looking, stopping), return_when=asyncio.FIRST_COMPLETED)
        for task in (looking, stopping):
            task.cancel()
        (found, _) = await asyncio.gather(looking, stopping, return_exceptions=True)
        if isinstance(found, Exception):
            raise found
        if isinstance(found, int):
            log.info("%s of %s invites in doubt were found in the vendor's SMS logs", found, count)

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
            claim = Claim.of(candidate)
            if settlement is not None and await self._writer.call(self._storage.settle, claim, settlement):
                entry = settled(entry, settlement, no_try_runs=True)
                found += 1
            self._waiting.popleft()
            self._recorder.add_earlier(candidate, entry)
        return found
