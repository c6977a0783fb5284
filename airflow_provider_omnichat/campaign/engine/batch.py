"""
A list of any length, each row to exactly one outcome: gate, claim, send, record.

Rows stream through. Claims go ahead of the senders in blocks and outcomes follow in blocks, as databases commit in
groups, so that a durable ledger costs little: about a quarter of a second of sending is claimed at any moment, and
that is what a killed worker leaves in doubt.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Protocol, TypeVar

from airflow_provider_omnichat.api.aio import AsyncOmnichatClient
from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.api.models import InviteAnswer
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.privacy import scrub
from airflow_provider_omnichat.api.reasons import Reason
from airflow_provider_omnichat.campaign.checks.row_checker import RowChecker
from airflow_provider_omnichat.campaign.ledger.interface import CERTAINLY_NOT_SENT, IN_DOUBT, Claim, Entry, Ledger
from airflow_provider_omnichat.campaign.ledger.retake import (
    Claimed,
    already_invited,
    claim,
    doubted_again,
    reason_of,
    still_in_doubt,
)
from airflow_provider_omnichat.campaign.model.rows import BrokenRow, Candidate, ListFailedError, Result, Row
from airflow_provider_omnichat.campaign.phone.identity import identity_of
from airflow_provider_omnichat.campaign.results.sink import ResultSink
from airflow_provider_omnichat.campaign.results.tally import Tally
from airflow_provider_omnichat.campaign.sending.pacer import Pacer
from airflow_provider_omnichat.campaign.sending.sender import Ended, Sender

T = TypeVar("T")

_LARGEST_BLOCK = 2000
_AHEAD = 0.25
_FIRST_LOOK = 0.1
# Shares of a block: claimed anew at this one at the earliest, at this at the latest.
_EARLIEST = 0.75
_LATEST = 0.2
_FORGETS = 0.8
_COMMIT_EVERY = 1.0
_NOTHING = Claimed({}, {})


@dataclass(frozen=True, slots=True)
class Limits:
    """
    How a batch sends.

    :param rate_limit: invites a second at most; None for no ceiling.
    :param concurrency: requests under way at most.
    :param retry_budget: seconds within which an invite that was certainly not taken is tried again.
    :param resend_unknown: send also where an earlier try may have sent.
    :param progress_every: seconds between two lines of progress in the log.
    """

    rate_limit: float | None = None
    concurrency: int = 32
    retry_budget: float = 60.0
    resend_unknown: bool = False
    progress_every: float = 10.0


class Log(Protocol):
    """What is used of a logger."""

    def info(self, message: str, /, *args: object) -> object:
        """Log a line."""


class Batch:
    """
    Sends one list, in one try of a task.

    :param gate: makes candidates of rows.
    :param ledger: where claims and outcomes live; used from a thread of its own.
    :param results: where result rows go; used from the same thread.
    :param client: not entered yet.
    :param limits: how to send.
    :param log: where progress is told.
    :param total: rows of the list, where that is known.
    :param tally: to count in.
    """

    def __init__(
        self,
        *,
        gate: RowChecker,
        ledger: Callable[[], Ledger],
        results: ResultSink,
        client: AsyncOmnichatClient,
        limits: Limits,
        log: Log,
        total: int | None = None,
        tally: Tally | None = None,
    ) -> None:
        self.tally = tally or Tally()
        self.failure: OmnichatError | None = None
        self.opens_at: datetime | None = None
        """When to look again at those who had to wait; None when nobody had to."""
        self._gate = gate
        self._make_ledger = ledger
        self._results = results
        self._client = client
        self._limits = limits
        self._log = log
        self.total = total
        self.read = 0
        """Rows that were read of the list, and belong to this task's part of it."""
        self.abandoned = False
        self._whole = False
        self._doubts: dict[str, Entry] = {}
        self._ended: list[Ended] = []
        self._told: list[tuple[str | None, Result]] = []
        self._pacer = Pacer(limits.rate_limit)
        self._sender = Sender(
            client,
            self._pacer,
            concurrency=limits.concurrency,
            retry_budget=limits.retry_budget,
            ended=self._ended.append,
        )
        self._commit_lock = asyncio.Lock()
        self._committed_at = monotonic()
        self._refill_since = 0.0
        self._refill_takes = _AHEAD / 4
        self._io = ThreadPoolExecutor(1, "omnichat-ledger")
        self._reader = ThreadPoolExecutor(1, "omnichat-rows")

    async def run(self, rows: Iterable[Row | BrokenRow]) -> None:
        """
        Bring every row to its outcome.

        :param rows: of the list; read in a thread of its own.
        :raises OmnichatError: at the start the way out cannot be used, or the ledger or earlier results cannot be read,
            and nothing was sent. Later failures are in :attr:`failure`, with all that was sent recorded as far as that
            was possible.
        """
        try:
            async with self._client:  # first: it may refuse the way out, and then there is nothing to close
                self._ledger = await self._in(self._io, self._make_ledger)
                self._earlier = await self._in(self._io, self._results.earlier)
                self._sender.start()
                try:
                    async with _running(self._commit_now_and_then(), self._tell_progress()):
                        await self._feed(rows)
                        await self._sender.finish()
                finally:  # after an error, too, what was sent must be recorded
                    await self._sender.close()
                    await self._commit()
                    await self._in(self._io, self._close)
        finally:
            self._reader.shutdown(wait=False, cancel_futures=True)
            self._io.shutdown(wait=False)

    async def abandon(self, seconds: float) -> None:
        """
        End early: no new request, some seconds for those under way; :meth:`run` then records what there is and returns.

        :param seconds: to wait for requests under way.
        """
        self.abandoned = True
        await self._sender.abandon(seconds)

    @property
    def location(self) -> str | None:
        """Where the result rows are; None when nobody asked for them."""
        return self._results.location

    @property
    def missing(self) -> int | None:
        """
        Rows of the list that have no outcome, because this try ended before they had one.

        0 for a list that was brought to its end; None where nobody knows how long the rest of it is.
        """
        rows = self.read if self._whole else self.total
        return None if rows is None else rows - self.tally.rows

    @property
    def stop_reason(self) -> str | None:
        """Why sending stopped before the list ended; None when it did not."""
        return self._sender.stop_reason

    async def _feed(self, rows: Iterable[Row | BrokenRow]) -> None:
        all_checked = self._gate.checked(rows)
        while not self.abandoned and self.failure is None:
            stopped = self._sender.stopped.is_set()
            size = _LARGEST_BLOCK if stopped else self._block_size()
            low = self._low(size)
            if not stopped and self._sender.waiting >= low:
                await self._sender.room(low, _COMMIT_EVERY)
                continue
            self._refill_since = monotonic()
            block, broke = await self._in(self._reader, _next_block, all_checked, size)
            self.read += len(block)
            if broke is not None:  # what was read and not sent yet gets its row, and is not sent
                self._sender.stop(str(broke))
            candidates = []
            for one in block:
                if isinstance(one, Candidate):
                    candidates.append(one)
                else:
                    self._tell(None, one)
            if block:
                await self._commit(candidates)
            if broke is not None:
                self._fail(broke)
                return
            if not block:
                self._whole = True
                return

    def _block_size(self) -> int:
        """What is sent in the next quarter of a second."""
        if self._pacer.rate is not None:
            return max(1, min(_LARGEST_BLOCK, int(self._pacer.rate * _AHEAD) + 1))
        seconds = max(monotonic() - self._sender.started, _FIRST_LOOK)
        return max(2 * self._limits.concurrency, min(_LARGEST_BLOCK, int(self._sender.taken / seconds * _AHEAD)))

    def _low(self, size: int) -> int:
        """Give how many still wait when it is time to claim more: what is sent in twice the time that this takes."""
        return max(1, int(size * min(_EARLIEST, max(_LATEST, 2 * self._refill_takes / _AHEAD))))

    async def _commit(self, candidates: Sequence[Candidate] = ()) -> None:
        """Record what has ended, claim what comes next, queue what could be claimed."""
        async with self._commit_lock:
            self._committed_at = monotonic()
            ended, self._ended[:] = list(self._ended), []
            at = datetime.now(UTC)
            written = _written(at)
            entries = {}
            for one in ended:
                recipient = one.candidate.recipient
                doubt = self._doubts.pop(recipient, None)
                if doubt is not None and one.outcome in CERTAINLY_NOT_SENT:
                    entries[recipient] = self._tell_doubt(one.candidate, doubt, one.outcome, one.reason)
                else:
                    if doubt is not None and one.outcome is Outcome.UNKNOWN:
                        one = one._replace(reason=doubted_again(doubt, one.reason))
                    entries[recipient] = _entry(one, at)
                    self._tell(recipient, _result(one, written), one.outcome is Outcome.ACCEPTED)
                if one.outcome is Outcome.HELD:
                    self._note_opening(at)  # when it opens again, the gate will tell
            told, self._told[:] = list(self._told), []
            sending = not self._sender.stopped.is_set()
            ready: list[Claim] = []
            others: list[Claim] = []
            for each in candidates:
                claims = ready if sending and each.wait is None else others
                claims.append(Claim(each.recipient, identity_of(each.invite.to), each.key))
            taken, doubts = await self._in(self._io, self._write, entries, told, ready, others)
            if self.failure is None:
                self._doubts |= doubts
                self._go_on_with(candidates, taken, sending)
                # The senders are busy again; what ended before these claims becomes durable meanwhile.
                await self._in(self._io, self._flush)
            if self.failure is not None:
                # What the ledger has of claims that failed is not known, so nothing is told of them.
                self._sender.stop(str(self.failure))

    def _go_on_with(self, candidates: Sequence[Candidate], taken: Mapping[str, Entry], sending: bool) -> None:
        """Queue what could be claimed, and tell of the others what the ledger has of them."""
        if candidates:
            self._refill_takes = max(monotonic() - self._refill_since, _FORGETS * self._refill_takes)
        for candidate in candidates:
            entry = taken.get(candidate.recipient)
            if candidate.wait is not None:
                self._tell_unsent(candidate, entry, Outcome.HELD, candidate.wait.reason)
            elif not sending:
                self._tell_unsent(candidate, entry, Outcome.NOT_SENT, self._sender.not_begun)
            elif entry is not None:
                self._tell(candidate.recipient, self._result_of_earlier(candidate, entry))
            else:
                self._sender.put(candidate)

    def _write(
        self,
        entries: Mapping[str, Entry],
        told: list[tuple[str | None, Result]],
        ready: Sequence[Claim],
        others: Sequence[Claim],
    ) -> Claimed:
        """Write, in the ledger's thread; result rows first, so that a crash in between loses no message id."""
        try:
            self._results.write(told)
        except OmnichatError as error:
            self._fail(error)
        try:
            self._ledger.record(entries)
            if self.failure is not None:
                return _NOTHING  # what was recorded is tried once more at the end
            claimed = self._claim(ready) if ready else _NOTHING
            return claimed._replace(taken={**claimed.taken, **self._known(others)})
        except OmnichatError as error:
            self.failure = error
            return _NOTHING

    def _fail(self, failure: OmnichatError) -> None:
        """Note why the batch ends early; the first reason counts."""
        self.failure = self.failure or failure

    def _flush(self) -> None:
        try:
            self._ledger.flush()
        except OmnichatError as error:
            self._fail(error)

    def _claim(self, claims: Sequence[Claim]) -> Claimed:
        # What a result row says was decided is never sent again, although a crash kept it out of the ledger.
        decided = [one for one in claims if one.recipient in self._earlier] if self._earlier else []
        if not decided:
            return claim(self._ledger, claims, self._limits.resend_unknown)
        free = [one for one in claims if one.recipient not in self._earlier]
        claimed = claim(self._ledger, free, self._limits.resend_unknown)
        return claimed._replace(taken={**self._known(decided), **claimed.taken})

    def _known(self, claims: Sequence[Claim]) -> Mapping[str, Entry]:
        """Find, and claim nothing."""
        if not claims:
            return {}
        decided = {one.recipient: Entry.now(outcome) for one in claims if (outcome := self._earlier.get(one.recipient))}
        return {**decided, **self._ledger.find(claims)}

    def _close(self) -> None:
        try:
            self._results.write(self._told)
            self._results.close(whole=self._whole and self.failure is None)
        except OmnichatError as error:
            self._fail(error)
        try:
            self._flush()
        finally:
            self._ledger.close()

    def _tell_unsent(self, candidate: Candidate, entry: Entry | None, outcome: Outcome, reason: Reason) -> None:
        """Tell of an invite that would be sent now if it had not to wait, or sending had not stopped."""
        is_free = candidate.recipient not in self._earlier and (entry is None or entry.outcome in CERTAINLY_NOT_SENT)
        if is_free:
            self._tell(candidate.recipient, _plain(candidate, outcome, datetime.now(UTC), reason))
        elif entry is not None and self._sends_again(candidate, entry):
            self._tell_doubt(candidate, entry, outcome, reason)
        elif entry is not None:
            self._tell(candidate.recipient, self._result_of_earlier(candidate, entry))
            return
        if candidate.wait is not None:
            self._note_opening(candidate.wait.opens_at)

    def _note_opening(self, at: datetime) -> None:
        self.opens_at = min(self.opens_at or at, at)

    def _sends_again(self, candidate: Candidate, doubt: Entry) -> bool:
        is_doubt = doubt.same_task and doubt.outcome in IN_DOUBT and candidate.recipient not in self._earlier
        return is_doubt and self._limits.resend_unknown

    def _tell_doubt(self, candidate: Candidate, doubt: Entry, kept_by: Outcome, reason: Reason | None) -> Entry:
        """Tell of an invite in doubt that was to be sent again and was not; give what the ledger keeps of it."""
        entry = still_in_doubt(doubt, reason)
        self._tell(candidate.recipient, self._result_of_earlier(candidate, entry), kept_by=kept_by)
        return entry

    def _tell(
        self, recipient: str | None, result: Result, sent_now: bool = False, kept_by: Outcome | None = None
    ) -> None:
        self.tally.add(result, sent_now, kept_by)
        if sent_now or recipient not in self._earlier:
            self._told.append((recipient, result))

    def _result_of_earlier(self, candidate: Candidate, entry: Entry) -> Result:
        if not entry.same_task:
            how = entry.outcome.replace("_", " ") if entry.outcome else "being sent"
            by_other = already_invited(f"by another task or run, {how} at {entry.at:%Y-%m-%d %H:%M:%S} UTC")
            return _plain(candidate, Outcome.DUPLICATE, entry.at, by_other)
        # A crash between the result row and the ledger: the row knows more.
        outcome = self._earlier.get(candidate.recipient) or entry.outcome
        if outcome is Outcome.ACCEPTED or outcome is Outcome.REJECTED:
            return _plain(candidate, outcome, entry.at, entry.reason, entry)
        if outcome is None:
            return _plain(candidate, Outcome.UNKNOWN, entry.at, reason_of(entry))
        reason = reason_of(entry) if outcome is Outcome.UNKNOWN else entry.reason
        return _plain(candidate, outcome, entry.at, reason, entry)

    async def _commit_now_and_then(self) -> None:
        while True:
            wait = self._committed_at + _COMMIT_EVERY - monotonic()
            if wait <= 0 and (self._ended or self._told):
                await self._commit()
            else:
                await asyncio.sleep(wait if wait > 0 else _COMMIT_EVERY)

    async def _tell_progress(self) -> None:
        while True:
            await asyncio.sleep(self._limits.progress_every)
            self._log.info("%s", self._progress())

    def _progress(self) -> str:
        seconds = max(monotonic() - self._sender.started, 0.001)
        counts, rows = self.tally.counts, self.tally.rows
        if self.total is None:
            done = f"{rows} rows done"
        else:
            left = f", about {(self.total - rows) * seconds / rows:.0f} s left" if rows else ""
            done = f"{rows} of {self.total} rows done{left}"
        return (
            f"{self.tally.sent_this_try} invites accepted, {self._sender.taken / seconds:.0f}/s,"
            f" {self._sender.refusals} refused for now, {counts[Outcome.REJECTED]} rejected,"
            f" {counts[Outcome.UNKNOWN]} in doubt, {done}"
        )

    async def _in(self, pool: ThreadPoolExecutor, function: Callable[..., T], *args: object) -> T:
        # Shielded: a write that is cancelled before its thread takes it up would be lost.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(pool, function, *args))


def _next_block(
    checked: Iterator[Candidate | Result], size: int
) -> tuple[list[Candidate | Result], OmnichatError | None]:
    """Take rows until so many of them can be sent; with what kept it from reading on, so that no row read is lost."""
    block: list[Candidate | Result] = []
    try:
        for one in checked:
            block.append(one)
            size -= isinstance(one, Candidate) and one.wait is None
            if size <= 0 or len(block) >= _LARGEST_BLOCK:
                break
    except Exception as error:  # whatever a file, a database or a network raises: what is sent must be recorded
        return block, _unreadable(error)
    return block, None


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


def _unreadable(error: Exception) -> OmnichatError:
    if isinstance(error, OmnichatError):
        return error
    return ListFailedError(f"The list cannot be read to its end ({type(error).__name__}: {scrub(str(error))})")


def _result(ended: Ended, at: str) -> Result:
    return _fill(ended.candidate, ended.outcome, at, ended.reason, ended.answer, ended.attempts)


def _entry(ended: Ended, at: datetime) -> Entry:
    return Entry(ended.outcome, at, ended.answer, ended.reason, ended.attempts)


def _written(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")


def _plain(
    candidate: Candidate, outcome: Outcome, at: datetime, reason: Reason | None, entry: Entry | None = None
) -> Result:
    answer, attempts = (entry.answer, entry.attempts) if entry else (None, 0)
    return _fill(candidate, outcome, _written(at), reason, answer, attempts)


def _fill(
    candidate: Candidate,
    outcome: Outcome,
    at: str,
    reason: Reason | None,
    answer: InviteAnswer | None,
    attempts: int,
) -> Result:
    status = answer.status if answer else None
    return Result(
        position=candidate.position,
        key=candidate.key,
        to=candidate.invite.to,
        outcome=outcome,
        at=at,
        message_id=answer.message_id or None if answer else None,
        status_id=status.id if status else None,
        status_group=status.group_id if status else None,
        status_name=status.name if status else None,
        message_count=answer.message_count if answer else None,
        attempts=attempts,
        reason=reason,
    )
