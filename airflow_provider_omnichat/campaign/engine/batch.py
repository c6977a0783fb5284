"""
A list of any length, each row to exactly one outcome: check, claim, send, record.

Rows stream through. Claims go ahead of the senders in blocks and outcomes follow in blocks, as databases commit in
groups, so that a durable ledger costs little.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from time import monotonic

from airflow_provider_omnichat.api.aio import AsyncOmnichatClient
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.engine.claiming_ahead import ClaimingAhead, next_block
from airflow_provider_omnichat.campaign.engine.doubts import Doubts
from airflow_provider_omnichat.campaign.engine.patience import Patience
from airflow_provider_omnichat.campaign.engine.plan import CampaignPlan
from airflow_provider_omnichat.campaign.engine.progress import Log, Progress, Publish
from airflow_provider_omnichat.campaign.engine.recorder import Recorder
from airflow_provider_omnichat.campaign.engine.report import CampaignReport
from airflow_provider_omnichat.campaign.engine.stop_signal import StopSignal
from airflow_provider_omnichat.campaign.engine.storage import Storage
from airflow_provider_omnichat.campaign.engine.thread import GRACE_SECONDS
from airflow_provider_omnichat.campaign.engine.worker_thread import WorkerThread
from airflow_provider_omnichat.campaign.ledger.interface import Claim, Entry
from airflow_provider_omnichat.campaign.model.rows import BrokenRow, Candidate, Result, Row
from airflow_provider_omnichat.campaign.sending.pacer import Pacer
from airflow_provider_omnichat.campaign.sending.sender import Sender

_COMMIT_EVERY_SECONDS = 1.0


async def run_batch(
    plan: CampaignPlan,
    rows: Iterable[Row | BrokenRow],
    *,
    client: AsyncOmnichatClient,
    report: CampaignReport,
    progress: Progress,
    log: Log,
    publish: Publish | None,
    stop: StopSignal,
) -> None:
    """
    Bring every row to its outcome.

    :param plan: of the campaign.
    :param rows: of the list; read in a thread of its own.
    :param client: not entered yet.
    :param report: takes how the campaign stands.
    :param progress: follows it.
    :param log: where progress is logged.
    :param publish: takes snapshots of the progress.
    :param stop: asks it to end early.
    :raises OmnichatError: at the start the way out cannot be used, or the ledger or earlier results cannot be read, and
        nothing was sent. Later failures are in the report, with all that was sent recorded as far as that was possible.
    """
    reader, writer = WorkerThread("omnichat-rows"), WorkerThread("omnichat-ledger")
    try:
        async with client:  # first: it may refuse the way out, and then there is nothing to close
            pacer, loop = Pacer(plan.pace.rate_limit), asyncio.get_running_loop()
            patience = Patience(
                plan.records.patience, lambda is_held: loop.call_soon_threadsafe(pacer.hold, is_held), log
            )
            storage = await writer.call(Storage.open, plan, report, patience)
            batch = Batch(plan, storage, client, pacer, report, reader, writer)
            stop.listen(patience.end)
            following = progress.follow(batch.sender, log, plan.pace.progress_every, publish)
            await batch.run(plan.row_checker().checked(rows), following, log, stop)
    finally:
        reader.close()
        writer.close()


class Batch:
    """
    Sends one list, in one try of a task.

    :param plan: of the campaign.
    :param storage: of the campaign; used in *writer*.
    :param client: entered.
    :param pacer: gives out the turns.
    :param report: takes how the campaign stands.
    :param reader: reads the list.
    :param writer: writes to the storage.
    """

    def __init__(
        self,
        plan: CampaignPlan,
        storage: Storage,
        client: AsyncOmnichatClient,
        pacer: Pacer,
        report: CampaignReport,
        reader: WorkerThread,
        writer: WorkerThread,
    ) -> None:
        pace = plan.pace
        self._storage = storage
        self._report = report
        self._reader = reader
        self._writer = writer
        self._recorder = Recorder(report, storage.earlier, pace.resend_unknown)
        self.sender = Sender(
            client,
            pacer,
            concurrency=pace.concurrency,
            retry_budget=pace.retry_budget,
            ended=self._recorder.add_sent,
        )
        self._ahead = ClaimingAhead(pacer, self.sender, pace.concurrency)
        self._doubts = Doubts(client, storage, writer, self._recorder, report, pace)
        self._commit_lock = asyncio.Lock()
        self._committed_at = monotonic()

    async def run(
        self, checked: Iterator[Candidate | Result], following: Coroutine[None, None, None], log: Log, stop: StopSignal
    ) -> None:
        """
        Bring every row to its outcome.

        :param checked: the rows.
        :param following: runs beside; it ends with the batch.
        :param log: where what was looked up is logged.
        :param stop: asks it to end early.
        """
        self.sender.start()
        try:
            async with _running(self._commit_regularly(), following, self._end_at(stop)):
                await self._feed(checked)
                await self.sender.finish()
                await self._doubts.look_up(log, stop)
        finally:  # after an error, too, what was sent must be recorded
            await self.sender.close()
            self._doubts.give_up()
            await self._commit()
            self._report.stop_reason = self.sender.stop_reason
            if await self._writer.call(self._storage.close, self._recorder.rows()):
                self._recorder.note_written()
            self._report.unwritten = self._recorder.unwritten()

    async def _end_at(self, stop: StopSignal) -> None:
        """Once somebody asks for it, begin no new request, and leave those under way some seconds."""
        await stop.wait()
        self._report.was_stopped = True
        await self.sender.abandon(GRACE_SECONDS)

    async def _feed(self, checked: Iterator[Candidate | Result]) -> None:
        while not self._report.was_stopped and self._report.failure is None:
            size = self._ahead.block_size()
            room = self._ahead.room(size)
            if not self.sender.has_room(*room):
                await self.sender.room(*room, _COMMIT_EVERY_SECONDS)
                continue
            self._ahead.refill_begins()
            block, failure = await self._reader.call(next_block, checked, size)
            self._report.read += len(block)
            if failure is not None:  # what was read and not sent yet gets its row, and is not sent
                self.sender.stop(str(failure))
            if block:
                await self._commit(self._candidates(block))
            if failure is not None:
                self._report.fail(failure)
            elif not block:
                self._report.is_complete = True
                return

    def _candidates(self, block: Iterable[Candidate | Result]) -> list[Candidate]:
        candidates = []
        for row in block:
            if isinstance(row, Candidate):
                candidates.append(row)
            else:
                self._recorder.add_refused(row)
        return candidates

    async def _commit(self, candidates: Sequence[Candidate] = ()) -> None:
        """Record what has ended, claim what comes next, queue what could be claimed."""
        async with self._commit_lock:
            self._committed_at = monotonic()
            is_sending = not self.sender.stopped.is_set()
            to_claim: list[Claim] = []
            to_find: list[Claim] = []
            for each in candidates:
                claims = to_claim if is_sending and each.wait is None else to_find
                claims.append(Claim.of(each))
            entries = self._recorder.entries()
            rows = self._recorder.rows()
            claimed = await self._writer.call(self._storage.write, rows, entries, to_claim, to_find)
            if self._report.failure is None:
                self._recorder.add_doubts(claimed.doubts)
                self._queue(candidates, claimed.taken, is_sending)
                # The senders are busy again; what ended before these claims becomes durable meanwhile.
                if await self._writer.call(self._storage.flush):
                    self._recorder.note_written()
            if self._report.failure is not None:
                # What the ledger has of claims that failed is not known, so these rows have no outcome.
                self.sender.stop(str(self._report.failure))

    def _queue(self, candidates: Sequence[Candidate], taken: Mapping[str, Entry], is_sending: bool) -> None:
        """Queue what could be claimed, and record of the others what the ledger has of them."""
        was_starved, queued = self.sender.is_starved, 0
        for candidate in candidates:
            entry = taken.get(candidate.recipient)
            if candidate.wait is not None:
                self._recorder.add_unsent(candidate, entry, Outcome.HELD, candidate.wait.reason)
            elif not is_sending:
                self._recorder.add_unsent(candidate, entry, Outcome.NOT_SENT, self.sender.not_begun)
            elif entry is not None:
                if not self._doubts.takes(candidate, entry):
                    self._recorder.add_earlier(candidate, entry)
            else:
                self.sender.put(candidate)
                queued += 1
        if candidates:
            self._ahead.refilled(len(candidates), queued, was_starved)

    async def _commit_regularly(self) -> None:
        while True:
            wait = self._committed_at + _COMMIT_EVERY_SECONDS - monotonic()
            if wait <= 0 and not self._recorder.is_empty:
                await self._commit()
            else:
                await asyncio.sleep(wait if wait > 0 else _COMMIT_EVERY_SECONDS)


@asynccontextmanager
async def _running(*background: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run something beside the body of the ``with``; an error in it is raised at the end."""
    tasks = [asyncio.create_task(each) for each in background]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended
