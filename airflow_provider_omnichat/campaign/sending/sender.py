"""Sends claimed invites, many at once, each to exactly one outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from time import monotonic, time
from typing import NamedTuple

from airflow_provider_omnichat.api.aio import AsyncOmnichatClient
from airflow_provider_omnichat.api.errors import InviteNotSentError, InviteRejectedError, InviteUnknownError, SendError
from airflow_provider_omnichat.api.models import InviteAnswer
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.api.retry import Backoff
from airflow_provider_omnichat.campaign.model.rows import Candidate
from airflow_provider_omnichat.campaign.sending.pacer import Pacer

_DOUBTS_IN_A_ROW = 20
_SHORT_WAIT_SECONDS = 5.0
_BUG = "an error in the provider, please report it"
_WINDOW_CLOSED = Reason(ReasonCode.OUTSIDE_SEND_WINDOW, "the send window closed before its turn came")
_IN_FLIGHT = Reason(ReasonCode.STOPPED_IN_FLIGHT, "The request was under way when the task was stopped")


class Ended(NamedTuple):
    """How a claimed invite ended in this try."""

    candidate: Candidate
    outcome: Outcome
    answer: InviteAnswer | None
    reason: Reason | None  # why it was not accepted; None if it was
    attempts: int  # requests made
    asked_at: float = 0.0  # POSIX time before the last of them


@dataclass(slots=True)
class _Job:
    """A claimed invite and its attempts so far; *began* is the time of the first one."""

    candidate: Candidate
    attempts: int = 0
    began: float = 0.0
    asked_at: float = 0.0
    refusal: Reason | None = None


@dataclass(eq=False, repr=False)
class Sender:
    """
    A queue and the tasks that empty it.

    Sending stops by itself when every further invite would meet the same failure: of the account, nothing accepted for
    a whole retry budget, or invite after invite in doubt. Queued invites then end as not sent.

    A refused invite waits for as long as the vendor asked, and is queued again; the others go on.
    """

    client: AsyncOmnichatClient  # entered by the caller
    pacer: Pacer
    concurrency: int  # the most requests under way
    retry_budget: float  # seconds within which an invite that was certainly not accepted is tried again
    ended: Callable[[Ended], None]  # called once for each invite, in the event loop
    clock: Callable[[], float] = monotonic  # the same as the pacer's

    def __post_init__(self) -> None:
        self.stopped = asyncio.Event()
        self.news = asyncio.Event()
        """Set whenever an invite begins or ends, and when sending stops."""
        self.stop_reason: str | None = None
        self.started = self.clock()
        self.taken = self.refusals = self.ended_count = 0
        self.busy = 0
        """Requests under way."""
        self._backoff = Backoff(budget=inf)
        self._queue: asyncio.Queue[_Job] = asyncio.Queue()
        self._refused: dict[asyncio.TimerHandle, _Job] = {}
        self._next = asyncio.Lock()
        self._put = 0
        self._busy_seconds, self._busy_since = 0.0, self.started
        self._waits_for_turn = False
        self._tasks: list[asyncio.Task[None]] = []
        self._last_taken = self.started
        self._doubts_in_a_row = 0

    def start(self) -> None:
        """Begin to send."""
        self.started = self._last_taken = self.clock()
        self._tasks = [asyncio.create_task(self._work()) for _ in range(self.concurrency)]

    def put(self, candidate: Candidate) -> None:
        """Queue a claimed invite."""
        self._put += 1
        self._queue.put_nowait(_Job(candidate))

    @property
    def not_begun(self) -> Reason:
        """The reason of invites whose turn had not come when sending was stopped."""
        return Reason(ReasonCode.SENDING_STOPPED, "Sending was stopped", detail=self.stop_reason or "")

    @property
    def ahead(self) -> int:
        """Claimed invites that wait for their turn."""
        return self._queue.qsize() + self._waits_for_turn

    @property
    def refused(self) -> int:
        """Claimed invites that were refused and wait to be tried again."""
        return len(self._refused)

    @property
    def busy_seconds(self) -> float:
        """How long requests were under way, all together."""
        return self._busy_seconds + self.busy * (self.clock() - self._busy_since)

    @property
    def unended(self) -> int:
        """Claimed invites without an outcome."""
        return self._put - self.ended_count

    def stop(self, reason: str) -> None:
        """Begin no further request; those under way are left to end. The first reason counts."""
        if self.stop_reason is None:
            self.stop_reason = reason
        self.stopped.set()
        self.news.set()
        for timer in list(self._refused):
            timer.cancel()
            self._queue_again(timer)

    async def finish(self) -> None:
        """Wait until all queued invites have ended."""
        await self._queue.join()

    async def abandon(self, seconds: float) -> None:
        """Stop, and give requests under way some seconds to end; those that do not are in doubt."""
        self.stop("the task was stopped")
        try:
            async with asyncio.timeout(seconds):
                await self.finish()
        except TimeoutError:
            for task in self._tasks:
                task.cancel()
            await self.finish()

    async def close(self) -> None:
        """End the tasks; queued invites end as not sent."""
        if self._queue.qsize() or self._refused:
            self.stop("an error stopped the batch")
        await self.finish()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            job, turn = self._next_at_once() or await self._next_in_time()
            self._note_busy(1)
            try:
                ended = await self._send(job, turn)
            except Exception as bug:  # no bug may lose a row
                self._stop_for(bug)
                reason = Reason(ReasonCode.PROVIDER_ERROR, _BUG, detail=type(bug).__name__)
                ended = Ended(job.candidate, Outcome.UNKNOWN, None, reason, 1, job.asked_at)
            self._note_busy(-1)
            if ended is not None:
                self.ended_count += 1
                self.ended(ended)
                self._queue.task_done()

    def _note_busy(self, change: int) -> None:
        self._busy_seconds, self._busy_since = self.busy_seconds, self.clock()
        self.busy += change
        self.news.set()

    def _next_at_once(self) -> tuple[_Job, float] | None:
        # Once a task has waited for the lock, all do, one round of the event loop each: then one request leaves per
        # round instead of all that are ready.
        if self._next.locked() or not self._queue.qsize():
            return None
        try:
            turn = self.pacer.turn_at_once(self.stopped)
        except Exception as bug:
            self._stop_for(bug)
            return None
        return None if turn is None else (self._queue.get_nowait(), turn)

    async def _next_in_time(self) -> tuple[_Job, float | None]:
        # One task at a time holds an invite and waits for a turn; if all did, a slow pace would leave many invites
        # claimed and unsent.
        async with self._next:
            job = await self._queue.get()
            self._waits_for_turn = True
            turn = await self._turn()
            self._waits_for_turn = False
            return job, turn

    def _queue_later(self, job: _Job, seconds: float) -> None:
        timer: asyncio.TimerHandle = asyncio.get_running_loop().call_later(seconds, lambda: self._queue_again(timer))
        self._refused[timer] = job

    def _queue_again(self, timer: asyncio.TimerHandle) -> None:
        self._queue.put_nowait(self._refused.pop(timer))
        self._queue.task_done()  # the queue counts it anew, and it ends once

    def _stop_for(self, bug: Exception) -> None:
        self.stop(f"{_BUG}: {type(bug).__name__}")

    async def _turn(self) -> float | None:
        try:
            return await self.pacer.turn(self.stopped)
        except asyncio.CancelledError:
            return None  # only abandon() cancels a task that holds an invite; it goes on and ends queued invites
        except Exception as bug:
            self._stop_for(bug)
            return None

    async def _send(self, job: _Job, turn: float | None) -> Ended | None:
        """Make one request; return None if the invite waits to be tried again."""
        candidate = job.candidate
        if turn is None:
            return self._not_sent(job)
        if candidate.closes_at is not None and time() >= candidate.closes_at:
            return Ended(candidate, Outcome.HELD, None, _WINDOW_CLOSED, job.attempts)
        if not job.attempts:
            job.began = turn
        job.attempts += 1
        job.asked_at = time()
        try:
            answer = await self.client.send_once(candidate.invite)
        except InviteNotSentError as refusal:
            job.refusal = refusal.reason
            self._note_refusal(refusal, turn)
            if self._is_given_up(job, refusal):
                return self._not_sent(job)
            self._queue_later(job, self._backoff.delay(job.attempts, 0.0, refusal.retry_after) or 0.0)
            return None
        except (InviteRejectedError, InviteUnknownError) as failure:
            self._note(failure)
            return Ended(candidate, failure.outcome, failure.answer, failure.reason, job.attempts, job.asked_at)
        except asyncio.CancelledError:  # see _turn
            return Ended(candidate, Outcome.UNKNOWN, None, _IN_FLIGHT, job.attempts, job.asked_at)
        self._note_taken()
        self.pacer.accepted()
        return Ended(candidate, Outcome.ACCEPTED, answer, None, job.attempts)

    def _not_sent(self, job: _Job) -> Ended:
        return Ended(job.candidate, Outcome.NOT_SENT, None, job.refusal or self.not_begun, job.attempts)

    def _note_refusal(self, refusal: InviteNotSentError, turn: float) -> None:
        if refusal.account_fault or not refusal.retryable:  # refused for good
            self.stop(str(refusal))
            return
        self.refusals += 1
        if refusal.retry_after is not None and refusal.retry_after > max(self.retry_budget, _SHORT_WAIT_SECONDS):
            self.stop(f"the vendor asks to wait {refusal.retry_after:.0f} seconds, longer than retry_budget: {refusal}")
            return
        if refusal.http_status in (None, 503):
            self.pacer.unreachable(turn, refusal.retry_after)
        else:
            self.pacer.refused(turn, refusal.retry_after)

    def _is_given_up(self, job: _Job, refusal: InviteNotSentError) -> bool:
        now = self.clock()
        if now - job.began < self.retry_budget:
            return self.stopped.is_set()
        if now - self._last_taken >= self.retry_budget:
            waited = f"nothing was accepted for {self.retry_budget:g} s" if self.retry_budget else "retry_budget is 0"
            self.stop(f"{waited}; the last refusal: {refusal}")
        return True

    def _note(self, failure: SendError) -> None:
        if failure.http_status is None:
            self.pacer.unanswered()
        else:
            self.pacer.accepted()  # past the limit on requests, however it ended
        if failure.outcome is Outcome.REJECTED or failure.reason.code is ReasonCode.ID_TAKEN:
            self._note_taken()
            if failure.account_fault:
                self.stop(str(failure))
            return
        self._doubts_in_a_row += 1
        if self._doubts_in_a_row >= _DOUBTS_IN_A_ROW:
            self.stop(f"{self._doubts_in_a_row} invites in a row are in doubt; sending more would only add to them")

    def _note_taken(self) -> None:
        self.taken += 1
        self._last_taken = self.clock()
        self._doubts_in_a_row = 0
