"""Turns outcomes into result rows and ledger entries, and holds them until the next block is written."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from airflow_provider_omnichat.api.models import InviteAnswer
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason
from airflow_provider_omnichat.campaign.engine.report import CampaignReport
from airflow_provider_omnichat.campaign.ledger.interface import CERTAINLY_NOT_SENT, Claim, Entry
from airflow_provider_omnichat.campaign.ledger.retake import (
    Retake,
    doubted_again,
    reason_of,
    reason_of_settled,
    refusal_of,
    still_in_doubt,
)
from airflow_provider_omnichat.campaign.model.rows import Candidate, Result, row_name, shown_key
from airflow_provider_omnichat.campaign.sending.sender import Ended


class Recorder:
    """Counts outcomes, and collects rows and entries; the decided rows of *earlier* tries are not written again."""

    def __init__(self, report: CampaignReport, earlier: Mapping[str, Outcome], retake: Retake) -> None:
        self._report = report
        self._earlier = earlier
        self._retake = retake
        self._doubts: dict[str, Entry] = {}
        self._again: dict[str, Entry] = {}
        self._ended: list[Ended] = []
        self._unwritten: list[Ended] = []
        self._rows: list[tuple[str | None, Result]] = []

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not self._ended and not self._rows

    def add_sent(self, ended: Ended) -> None:
        """Add the outcome of a claimed invite."""
        self._ended.append(ended)

    def add_refused(self, result: Result) -> None:
        """Add a row that cannot or may not be sent."""
        self._add(None, result)

    def add_doubts(self, doubts: Mapping[str, Entry]) -> None:
        """Remember, by recipient, the earlier entries of invites that were claimed although they may have been sent."""
        self._doubts |= doubts

    def doubt(self, recipient: str) -> Entry | None:
        """Return the earlier entry of a claimed invite if it may have been sent before."""
        return self._doubts.get(recipient)

    def add_again(self, recipient: str, entry: Entry) -> None:
        """Add the entry of an invite in doubt that is claimed again; its row comes when it has ended."""
        self._again[recipient] = entry

    def add_earlier(self, candidate: Candidate, entry: Entry, kept_by: Outcome | None = None) -> None:
        """Add a row whose invite is already in the ledger; see :meth:`Tally.add` for *kept_by*."""
        result = result_of_earlier(candidate, entry, self._earlier.get(candidate.recipient))
        self._add(candidate.recipient, result, kept_by=kept_by)

    def add_unsent(self, candidate: Candidate, entry: Entry | None, outcome: Outcome, reason: Reason) -> None:
        """Add a row that is not sent now because it has to wait (HELD), or because sending has stopped (NOT_SENT)."""
        is_decided = candidate.recipient in self._earlier
        if not is_decided and (entry is None or entry.outcome in CERTAINLY_NOT_SENT):
            self._add(candidate.recipient, candidate.unsent(outcome, reason))
        elif entry is not None and not is_decided and self._retake.takes(Claim.of(candidate), entry):
            self._keep_doubt(candidate, entry, outcome, reason)
        elif entry is not None:
            self.add_earlier(candidate, entry)
            return
        if candidate.wait is not None:
            self._report.wait_until(candidate.wait.opens_at)

    def entries(self) -> dict[str, Entry]:
        """Take out the new ledger entries by recipient, and make their rows."""
        at = datetime.now(UTC)
        ended, again, self._ended, self._again = self._ended, self._again, [], {}
        self._unwritten += ended
        return {**again, **{each.candidate.recipient: self._entry(each, at) for each in ended}}

    def note_written(self) -> None:
        """Note that all entries taken out so far are in the ledger."""
        self._unwritten.clear()

    def unwritten(self) -> dict[Outcome, list[str]]:
        """Return the names of rows, by outcome, whose entries were taken out and are not in the ledger."""
        names: dict[Outcome, list[str]] = {}
        for each in self._unwritten:
            key = shown_key(each.candidate.key, each.candidate.invite.to)
            names.setdefault(each.outcome, []).append(row_name(each.candidate.position, key))
        return names

    def rows(self) -> list[tuple[str | None, Result]]:
        """Take out the result rows to write, each with its recipient key."""
        rows, self._rows = self._rows, []
        return rows

    def _entry(self, ended: Ended, at: datetime) -> Entry:
        candidate, outcome, answer, reason, attempts, _ = ended
        doubt = self._doubts.pop(candidate.recipient, None)
        if outcome is Outcome.HELD:
            self._report.wait_until(at)  # when it opens again, the row checker knows
        if doubt is not None and outcome in CERTAINLY_NOT_SENT:
            return self._keep_doubt(candidate, doubt, outcome, reason)
        if doubt is not None and outcome is Outcome.UNKNOWN:
            reason = doubted_again(doubt, reason)
        result = _result(candidate, outcome, at, reason, answer, attempts, candidate.invite.message_id)
        self._add(candidate.recipient, result, is_sent_now=outcome is Outcome.ACCEPTED)
        return Entry(outcome, at, answer, reason, attempts, message_id=candidate.invite.message_id or None)

    def _keep_doubt(self, candidate: Candidate, doubt: Entry, kept_by: Outcome, reason: Reason | None) -> Entry:
        """Add an invite in doubt that was to be sent again and was not; return its ledger entry."""
        entry = still_in_doubt(doubt, reason)
        self.add_earlier(candidate, entry, kept_by)
        return entry

    def _add(
        self, recipient: str | None, result: Result, *, is_sent_now: bool = False, kept_by: Outcome | None = None
    ) -> None:
        self._report.tally.add(result, is_sent_now, kept_by)
        if is_sent_now or recipient not in self._earlier:
            self._rows.append((recipient, result))


def result_of_earlier(candidate: Candidate, entry: Entry, written: Outcome | None = None) -> Result:
    """Return the row of an invite in the ledger; after a crash between the *written* row and it, the row knows more."""
    refusal = None if entry.same_task else refusal_of(entry)
    if refusal is not None:
        return _result(candidate, refusal.outcome, entry.at, refusal.reason)
    outcome = written or entry.outcome
    if outcome is None:
        return _result(candidate, Outcome.UNKNOWN, entry.at, reason_of(entry), message_id=entry.message_id)
    reason = reason_of(entry) if outcome is Outcome.UNKNOWN else reason_of_settled(entry)
    return _result(candidate, outcome, entry.at, reason, entry.answer, entry.attempts, entry.message_id)


def _result(
    candidate: Candidate,
    outcome: Outcome,
    at: datetime,
    reason: Reason | None,
    answer: InviteAnswer | None = None,
    attempts: int = 0,
    message_id: str | None = None,
) -> Result:
    status = answer.status if answer else None
    return Result(
        position=candidate.position,
        key=candidate.key,
        to=candidate.invite.to,
        outcome=outcome,
        at=at.isoformat(timespec="milliseconds"),
        message_id=(answer.message_id if answer else message_id) or None,
        status_id=status.id if status else None,
        status_group=status.group_id if status else None,
        status_name=status.name if status else None,
        message_count=answer.message_count if answer else None,
        attempts=attempts,
        reason=reason,
    )
