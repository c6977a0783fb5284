"""
A list of any length, each row to exactly one outcome: check, claim, send, record.

Rows stream through. One commit of the ledger follows the other: each takes the outcomes that have arrived, and the
claims of what may be sent until the next one is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from airflow_provider_omnichat.api.aio import AsyncOmnichatClient
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.engine.commit_groups import CommitGroups
from airflow_provider_omnichat.campaign.engine.doubts import Doubts
from airflow_provider_omnichat.campaign.engine.patience import Patience
from airflow_provider_omnichat.campaign.engine.plan import CampaignPlan
from airflow_provider_omnichat.campaign.engine.process import GRACE_SECONDS, StopSignal, WorkerThread
from airflow_provider_omnichat.campaign.engine.progress import Log, Progress, Publish
from airflow_provider_omnichat.campaign.engine.recorder import Recorder
from airflow_provider_omnichat.campaign.engine.report import CampaignReport
from airflow_provider_omnichat.campaign.engine.rows_ahead import LARGEST_BLOCK, Checked, RowsAhead
from airflow_provider_omnichat.campaign.engine.storage import Storage
from airflow_provider_omnichat.campaign.ledger.interface import Claim, Entry
from airflow_provider_omnichat.campaign.model.rows import BrokenRow, Candidate, Row
from airflow_provider_omnichat.campaign.sending.pacer import Pacer
from airflow_provider_omnichat.campaign.sending.sender import Sender


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
    Bring every row to its outcome, with a client not entered yet.

    It fails only if the network, the ledger or earlier results do at the start; nothing was sent then. Later failures
    are in the report, and everything sent is recorded as far as possible.
    """
    reader, writer = WorkerThread("omnichat-rows"), WorkerThread("omnichat-ledger")
    try:
        async with client:  # first: it may refuse its proxy, and then there is nothing to close
            pacer, loop = Pacer(plan.pace.rate_limit), asyncio.get_running_loop()
            patience = Patience(
                plan.records.patience, lambda is_held: loop.call_soon_threadsafe(pacer.hold, is_held), log
            )
            storage = await writer.call(Storage, plan, report, patience)
            batch = Batch(plan, storage, client, pacer, report, reader, writer)
            stop.listen(patience.end)
            following = progress.follow(batch.sender, log, plan.pace.progress_every, publish)
            checker = plan.row_checker()
            checker.rules = [*checker.rules, *storage.message_ids]
            await batch.run(checker.checked(rows), following, log, stop)
    finally:
        reader.close()
        writer.close()


@dataclass(eq=False, repr=False)
class Batch:
    """Sends one list, in one try of a task."""

    plan: CampaignPlan
    storage: Storage  # used in *writer* only
    client: AsyncOmnichatClient
    pacer: Pacer
    report: CampaignReport
    reader: WorkerThread
    writer: WorkerThread

    def __post_init__(self) -> None:
        pace, storage = self.plan.pace, self.storage
        self._recorder = recorder = Recorder(self.report, storage.earlier, pace.retake)
        self.sender = Sender(
            self.client, self.pacer, pace.concurrency, pace.retry_budget, ended=lambda ended: self._doubts.end(ended)
        )
        self._groups = CommitGroups(self.pacer, self.sender, pace.concurrency, storage.group_factor)
        self._doubts = Doubts(self.client, storage, self.writer, recorder, self.report, pace, self.sender)
        self._skips = False
        """Whether earlier tries have decided most of what was to be claimed last."""
        self._looked_up = 0

    async def run(
        self, checked: Iterator[Checked], following: Coroutine[None, None, None], log: Log, stop: StopSignal
    ) -> None:
        """Bring every row to its outcome; *following* runs until the batch ends."""
        rows = RowsAhead(checked, self.reader, self.sender.news)
        self.sender.start()
        resolving = asyncio.create_task(self._doubts.resolve(log))
        resolving.add_done_callback(lambda _: self.sender.news.set())
        try:
            async with _running(following, self._end_at(stop, resolving)):
                await self._commit_until(self._is_sent, rows)
                self._doubts.all_sent.set()
                await self._commit_until(resolving.done)
                if not resolving.cancelled():
                    await resolving
        finally:  # after an error, too, what was sent must be recorded
            resolving.cancel()
            await asyncio.gather(resolving, return_exceptions=True)
            await self.sender.close()
            self._doubts.give_up()
            await self._commit()
            self.report.stop_reason = self.sender.stop_reason
            if await self.writer.call(self.storage.close, self._recorder.rows()):
                self._recorder.note_written()
            self.report.failure = self.report.failure or self._doubts.failure
            self.report.unwritten = self._recorder.unwritten()
            await rows.close()

    async def _end_at(self, stop: StopSignal, resolving: asyncio.Task[None]) -> None:
        """Once asked to stop, begin no new request, and give those under way some seconds."""
        await stop.wait()
        self.report.was_stopped = True
        resolving.cancel()
        await self.sender.abandon(GRACE_SECONDS)

    def _is_sent(self) -> bool:
        is_fed = self.report.is_complete or self.report.was_stopped or self.report.failure is not None
        return is_fed and not self.sender.unended and self._recorder.is_empty

    async def _commit_until(self, is_done: Callable[[], bool], rows: RowsAhead | None = None) -> None:
        news = self.sender.news
        while not is_done():
            news.clear()
            if rows is not None and self._skips and not self._looked_up and rows.is_ready:
                await self._skip(rows)
            block = self._next_block(rows) if rows is not None else []
            block = [*self._doubts.chosen(), *block]  # none, if sending has stopped over the next rows
            if block or not self._recorder.is_empty:
                self._groups.begin()
                await self._commit(block)
                await asyncio.sleep(self._groups.done())
            elif not is_done():
                await news.wait()

    def _next_block(self, rows: RowsAhead) -> list[Checked]:
        if self.report.was_stopped or self.report.failure is not None:
            return []
        # What was read and not sent yet gets its row, and is not sent. Only once: a stop is news, and the loop would
        # find some without an end, before that of the list is known.
        if rows.failure is not None and not self.sender.stopped.is_set():
            self.sender.stop(str(rows.failure))
        block = rows.take(self._groups.wanted())
        self.report.read += len(block)
        self._looked_up = max(0, self._looked_up - len(block))
        if rows.has_ended and not block:
            self.report.failure = rows.failure
            self.report.is_complete = rows.failure is None
        return block

    async def _skip(self, rows: RowsAhead) -> None:
        """Record what earlier tries have decided, in blocks that would be too large to claim."""
        block = rows.take(LARGEST_BLOCK)
        claims = [Claim.of(row) for row in block if isinstance(row, Candidate)]
        decided = await self.writer.call(self.storage.decided, claims)
        known = [row for row in block if isinstance(row, Candidate) and row.recipient in decided]
        left = [row for row in block if not isinstance(row, Candidate) or row.recipient not in decided]
        self._queue(known, decided, is_sending=True)
        self.report.read += len(block) - len(left)
        rows.give_back(left)
        self._looked_up = len(left)

    async def _commit(self, block: Sequence[Checked] = ()) -> None:
        """Record what has ended, claim what comes next, queue what could be claimed."""
        is_sending = not self.sender.stopped.is_set()
        candidates: list[Candidate] = []
        to_claim: list[Claim] = []
        to_find: list[Claim] = []
        for row in block:
            if isinstance(row, Candidate):
                candidates.append(row)
                claims = to_claim if is_sending and row.wait is None else to_find
                claims.append(Claim.of(row))
            else:
                self._recorder.add_refused(row)
        entries, rows = self._recorder.entries(), self._recorder.rows()
        claimed = await self.writer.call(self.storage.write, rows, entries, to_claim, to_find)
        if claimed is not None:
            self._recorder.add_doubts({name: each for name, each in claimed.doubts.items() if name not in entries})
            self._queue(candidates, claimed.taken, is_sending)
            if to_claim:
                self._skips = 2 * sum(each.recipient in claimed.taken for each in to_claim) > len(to_claim)
        if self.report.failure is None:
            self._recorder.note_written()
        else:  # rows whose claims failed have no outcome: what the ledger has of them is not known
            self.sender.stop(str(self.report.failure))

    def _queue(self, candidates: Sequence[Candidate], taken: Mapping[str, Entry], is_sending: bool) -> None:
        """Queue what could be claimed, and record of the others what the ledger has of them."""
        for candidate in candidates:
            entry = taken.get(candidate.recipient)
            is_asked_about = is_sending or candidate.wait is not None
            if entry is not None and is_asked_about and self._doubts.takes(candidate, entry):
                continue
            if candidate.wait is not None:
                self._recorder.add_unsent(candidate, entry, Outcome.HELD, candidate.wait.reason)
            elif not is_sending:
                self._recorder.add_unsent(candidate, entry, Outcome.NOT_SENT, self.sender.not_begun)
            elif entry is None:
                self.sender.put(candidate)
            else:
                self._recorder.add_earlier(candidate, entry)


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
