"""
Invites in doubt, of earlier tries and runs or with an id of ours: looked up before they end as unknown.

Where the vendor recognises a repeat by its id, they are sent again with the same id, while other invites are sent.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from time import time

from airflow_provider_omnichat.api.aio import AsyncOmnichatClient
from airflow_provider_omnichat.api.errors import IdsIgnoredError, SmsLogsError
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.api.retry import Backoff
from airflow_provider_omnichat.campaign.engine.look_up import LookUp, settlement_of
from airflow_provider_omnichat.campaign.engine.plan import Pace
from airflow_provider_omnichat.campaign.engine.process import WorkerThread
from airflow_provider_omnichat.campaign.engine.progress import Log
from airflow_provider_omnichat.campaign.engine.recorder import Recorder
from airflow_provider_omnichat.campaign.engine.repeats import Doubt, Repeats
from airflow_provider_omnichat.campaign.engine.report import CampaignReport
from airflow_provider_omnichat.campaign.engine.storage import Storage
from airflow_provider_omnichat.campaign.ledger.interface import CERTAINLY_NOT_SENT, Claim, Entry, Settlement
from airflow_provider_omnichat.campaign.ledger.retake import Retake, doubted_again, is_in_doubt, still_in_doubt
from airflow_provider_omnichat.campaign.ledger.settle import settled
from airflow_provider_omnichat.campaign.model.rows import Candidate
from airflow_provider_omnichat.campaign.sending.sender import Ended, Sender

_TOO_LATE = Reason(ReasonCode.SENDING_STOPPED, "It was too late: the vendor might not recognise a repeat any more")
# A later try has to know of it, and to find out.
_UNPROVED = Reason(ReasonCode.NOT_KNOWN, "The vendor took it, and it is not known yet whether as a repeat")
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.2, 15.0


@dataclass(eq=False, repr=False)
class Doubts:
    """Keeps invites in doubt, repeats them if the vendor recognises that, and looks up the others when all is sent."""

    client: AsyncOmnichatClient
    storage: Storage
    writer: WorkerThread
    recorder: Recorder
    report: CampaignReport
    pace: Pace
    sender: Sender

    def __post_init__(self) -> None:
        self.failure: IdsIgnoredError | None = None
        self.all_sent = asyncio.Event()
        """To be set once nothing is sent any more, but for repeats."""
        self._retake = Retake(seconds=self.pace.repeat_seconds)
        self._look_up = LookUp(self.client, self.pace.retry_budget, self.pace.log_delay)
        self._repeats = Repeats(self.client, self.pace.log_delay)
        self._backoff = Backoff(budget=inf)
        # By recipient: those kept, those chosen of them, those claimed once more, and their answers not proved yet.
        self._kept: dict[str, Doubt] = {}
        self._chosen: list[str] = []
        self._out: dict[str, Doubt] = {}
        self._accepted: dict[str, Ended] = {}
        self._unseen = self.storage.repeated

    def takes(self, candidate: Candidate, entry: Entry) -> bool:
        """Keep a row that is in doubt, to look it up; return False for any other."""
        was_out = self._out.pop(candidate.recipient, None) is not None
        if not self.pace.looks_up or not is_in_doubt(entry) or candidate.recipient in self.storage.earlier:
            return False
        if candidate.wait is not None and self.pace.retake.takes(Claim.of(candidate), entry):
            return False  # it waits, and is sent again then
        self._kept[candidate.recipient] = Doubt(candidate, entry, due_at=inf if was_out else 0.0)
        if entry.message_id and entry.was_repeated and entry.same_task and not was_out:
            self._unseen -= 1
            self._repeats.note(entry.message_id, entry.at.timestamp())
        return True

    def end(self, ended: Ended) -> None:
        """Record how an invite has ended, unless it is in doubt and has an id: then keep it."""
        recipient, message_id = ended.candidate.recipient, ended.candidate.invite.message_id or ""
        before = self._out.pop(recipient, None)
        known = before.entry if before else self.recorder.doubt(recipient)
        if message_id and known is not None:
            ended = self._of_repeat(ended, before)
        is_made = ended.outcome not in CERTAINLY_NOT_SENT
        due_at = time() + (self._backoff.delay(1, 0.0) or 0.0)
        if before is not None:
            if is_made:
                self._repeats.note(message_id)
            if ended.outcome is Outcome.ACCEPTED and not self._repeats.are_recognised:
                self._accepted[recipient], due_at = ended, inf
                ended = ended._replace(outcome=Outcome.UNKNOWN, answer=None, reason=_UNPROVED)
        is_doubt = ended.outcome is Outcome.UNKNOWN or (known is not None and not is_made)
        if not (self.pace.looks_up and message_id and is_doubt):
            self.recorder.add_sent(ended)
            return
        entry = self._entry(ended, known)
        if self.recorder.doubt(recipient) is None:  # in doubt since this try, which has to say why
            ended = ended._replace(outcome=Outcome.UNKNOWN, answer=entry.answer, reason=entry.reason)
        self._kept[recipient] = Doubt(ended.candidate, entry, ended, due_at)

    def chosen(self) -> list[Candidate]:
        """Take out what is to be claimed once more, and repeated."""
        if self.sender.stopped.is_set():
            return []
        chosen, self._chosen = {recipient: self._kept.pop(recipient) for recipient in self._chosen}, []
        self._out |= chosen
        for recipient, doubt in chosen.items():
            if doubt.ended is not None:  # the claim of this try ends in doubt before there is another
                self.recorder.add_again(recipient, doubt.entry)
        return [self._repeated(doubt) for doubt in chosen.values()]

    async def resolve(self, log: Log) -> None:
        """Repeat what may be repeated, and look up the others once all is sent."""
        try:
            if self._retake.seconds is not None:
                await self._repeat(log)
            await self.all_sent.wait()
            await self._look_all_up(log)
        except SmsLogsError as error:
            log.warning("%s. %s invites stay in doubt", str(error).rstrip("."), len(self._kept))
        except IdsIgnoredError as error:
            self.failure = error
            self.sender.stop(str(error))

    def give_up(self) -> None:
        """Record those that were not looked up, or not found, as they are."""
        for doubt in self._out.values():
            doubt.ended = None  # nobody knows what came of the claim
        for doubt in (*self._kept.values(), *self._out.values()):
            if doubt.ended is not None:
                self.recorder.add_sent(doubt.ended)
            else:
                self.recorder.add_earlier(doubt.candidate, doubt.entry)

    async def _repeat(self, log: Log) -> None:
        repeats, wait = self._repeats, _FIRST_WAIT_SECONDS
        longest_wait = max(_FIRST_WAIT_SECONDS, min(_LONGEST_WAIT_SECONDS, self.pace.log_delay / 4))
        while self.report.failure is None:
            self._record_proved()
            if repeats.refusal is not None:
                log.warning("Nothing in doubt is repeated: %s", repeats.refusal)
                return
            is_stopped, is_open = self.sender.stopped.is_set(), bool(repeats.unproved) and not repeats.are_recognised
            is_one_out = bool(self._chosen or self._out) and not is_stopped
            may_be = [] if is_stopped else [each for each in self._kept.values() if self._may_be_repeated(each)]
            if (is_stopped or self.all_sent.is_set()) and not (may_be or is_one_out or is_open):
                return
            due = [] if self._chosen else [doubt for doubt in may_be if doubt.due_at <= time()]
            if (due or is_open) and (repeats.are_recognised or not is_one_out):
                chosen = await repeats.next(due, self._unseen <= 0 or self.report.is_complete)
                is_waiting = not (chosen or repeats.are_recognised)
                wait = min(2 * wait, longest_wait) if is_waiting else _FIRST_WAIT_SECONDS
                self._chosen += [doubt.candidate.recipient for doubt in chosen]
                self.sender.news.set()
            await asyncio.sleep(wait)

    def _record_proved(self) -> None:
        """Record the repeats that were accepted, once it is known what became of them, or will not be."""
        repeats = self._repeats
        for recipient, ended in list(self._accepted.items()):
            is_proved = ended.candidate.invite.message_id not in repeats.unproved
            if repeats.are_recognised or repeats.refusal is not None or is_proved:
                del self._kept[recipient], self._accepted[recipient]
                self.recorder.add_sent(ended)
                self.sender.news.set()

    def _may_be_repeated(self, doubt: Doubt) -> bool:
        candidate = doubt.candidate
        is_open = candidate.wait is None and (candidate.closes_at is None or time() < candidate.closes_at)
        return is_open and doubt.due_at < inf and self._retake.takes(Claim.of(candidate), doubt.entry)

    def _repeated(self, doubt: Doubt) -> Candidate:
        """Return a candidate that is sent again, if its turn comes before it is too late."""
        begin, closes_at = doubt.entry.claimed_at, doubt.candidate.closes_at
        until = (begin.timestamp() if begin else 0.0) + (self._retake.seconds or 0.0)
        return doubt.candidate._replace(again=True, closes_at=min(until, closes_at or inf))

    def _of_repeat(self, ended: Ended, before: Doubt | None) -> Ended:
        """Return how an invite ends that was sent again: no answer but these two tells of the earlier request."""
        if ended.reason is not None and ended.reason.code is ReasonCode.ID_TAKEN:
            self._repeats.are_recognised = True
            ended = ended._replace(outcome=Outcome.ACCEPTED, reason=None)
        elif ended.outcome is Outcome.REJECTED:
            ended = ended._replace(outcome=Outcome.UNKNOWN, answer=None)
        if before is None:
            return ended
        closes_at = before.candidate.closes_at
        if ended.outcome is Outcome.HELD and (closes_at is None or time() < closes_at):
            ended = ended._replace(outcome=Outcome.NOT_SENT, reason=_TOO_LATE)
        attempts = ended.attempts + (before.ended.attempts if before.ended else 0)
        return ended._replace(candidate=before.candidate, attempts=attempts)

    def _entry(self, ended: Ended, known: Entry | None) -> Entry:
        """Return what the ledger will have of an invite in doubt, which may have been *known* as that."""
        now, message_id = datetime.now(UTC), ended.candidate.invite.message_id
        if known is None:
            begin = datetime.fromtimestamp(ended.asked_at, UTC)  # of the only request that may have been taken
            return Entry(ended.outcome, now, ended.answer, ended.reason, claimed_at=begin, message_id=message_id)
        if ended.outcome in CERTAINLY_NOT_SENT:
            return still_in_doubt(known, ended.reason)
        reason = doubted_again(known, ended.reason)
        return known._replace(outcome=Outcome.UNKNOWN, at=now, reason=reason, message_id=message_id)

    async def _look_all_up(self, log: Log) -> None:
        count, found = len(self._kept), 0
        if not count or self.report.was_stopped or self.report.failure is not None:
            return
        log.info("Looking up %s invites in doubt in the vendor's SMS logs", count)
        with_id = {doubt.message_id: doubt for doubt in self._kept.values() if doubt.message_id}
        ended = {message_id: doubt.entry.at for message_id, doubt in with_id.items()}
        try:
            async with aclosing(self._look_up.find_ids(ended)) as messages:
                async for message in messages:
                    found += await self._add(with_id[message.message_id], settlement_of(message))
            for doubt in [each for each in self._kept.values() if not each.message_id]:
                if self.report.failure is None:
                    settlement = await self._look_up.find(doubt.candidate.invite.to, doubt.entry)
                    found += await self._add(doubt, settlement)
        finally:
            log.info("Found %s of %s invites in doubt in the vendor's SMS logs", found, count)

    async def _add(self, doubt: Doubt, found: Settlement | None) -> bool:
        """Add the row of a doubt that was looked up, and return whether it is one no more."""
        is_settled, claim = found is not None, Claim.of(doubt.candidate)
        if found is not None and doubt.ended is not None:
            answer = found.answer or doubt.ended.answer
            self.recorder.add_sent(doubt.ended._replace(outcome=Outcome.ACCEPTED, answer=answer, reason=None))
        elif found is not None and (is_settled := await self.writer.call(self.storage.settle, claim, found)):
            self.recorder.add_earlier(doubt.candidate, settled(doubt.entry, found, no_try_runs=True))
        else:
            self.recorder.add_earlier(doubt.candidate, doubt.entry)
        del self._kept[doubt.candidate.recipient]  # not earlier: a stop may come while it is settled
        return is_settled
