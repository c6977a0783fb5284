"""What there is to write: outcomes as they come, until the next block is written."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason
from airflow_provider_omnichat.campaign.engine.report import CampaignReport
from airflow_provider_omnichat.campaign.engine.row_results import (
    entry_of_sent,
    result_of_earlier,
    result_of_sent,
    result_of_unsent,
)
from airflow_provider_omnichat.campaign.ledger.interface import CERTAINLY_NOT_SENT, IN_DOUBT, Entry
from airflow_provider_omnichat.campaign.ledger.retake import doubted_again, still_in_doubt
from airflow_provider_omnichat.campaign.model.rows import Candidate, Result, row_name, shown_key
from airflow_provider_omnichat.campaign.sending.sender import Ended


class Recorder:
    """
    Counts outcomes, and gathers their rows and entries.

    :param report: counts them.
    :param earlier: the decided rows that earlier tries have written, by recipient key; they are not written again.
    :param resend_unknown: whether what is in doubt is sent again.
    """

    def __init__(self, report: CampaignReport, earlier: Mapping[str, Outcome], resend_unknown: bool) -> None:
        self._report = report
        self._earlier = earlier
        self._resend_unknown = resend_unknown
        self._doubts: dict[str, Entry] = {}
        self._ended: list[Ended] = []
        self._unwritten: list[Ended] = []
        self._rows: list[tuple[str | None, Result]] = []

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not self._ended and not self._rows

    def add_sent(self, ended: Ended) -> None:
        """Take the outcome of an invite that was claimed."""
        self._ended.append(ended)

    def add_refused(self, result: Result) -> None:
        """Take a row that no invite can be made of, or none that may be sent."""
        self._add(None, result)

    def add_doubts(self, doubts: Mapping[str, Entry]) -> None:
        """
        Remember what was claimed although an earlier try may have sent it.

        :param doubts: what the ledger had of it, by recipient.
        """
        self._doubts |= doubts

    def add_earlier(self, candidate: Candidate, entry: Entry) -> None:
        """Take a row whose invite the ledger knows already."""
        self._add(candidate.recipient, result_of_earlier(candidate, entry, self._earlier.get(candidate.recipient)))

    def add_unsent(self, candidate: Candidate, entry: Entry | None, outcome: Outcome, reason: Reason) -> None:
        """
        Take a row that would be sent now if it had not to wait, or sending had not stopped.

        :param candidate: the row.
        :param entry: what the ledger has of it.
        :param outcome: HELD or NOT_SENT.
        :param reason: why it is not sent.
        """
        is_decided = candidate.recipient in self._earlier
        if not is_decided and (entry is None or entry.outcome in CERTAINLY_NOT_SENT):
            self._add(candidate.recipient, result_of_unsent(candidate, outcome, reason))
        elif entry is not None and not is_decided and self._is_sent_again(entry):
            self._keep_doubt(candidate, entry, outcome, reason)
        elif entry is not None:
            self.add_earlier(candidate, entry)
            return
        if candidate.wait is not None:
            self._report.wait_until(candidate.wait.opens_at)

    def entries(self) -> dict[str, Entry]:
        """Take out, by recipient, what the ledger has to know of invites that have ended; their rows are written."""
        at = datetime.now(UTC)
        ended, self._ended = self._ended, []
        self._unwritten += ended
        return {each.candidate.recipient: self._entry(each, at) for each in ended}

    def note_written(self) -> None:
        """Note that all entries that were taken out are in the ledger."""
        self._unwritten.clear()

    def unwritten(self) -> dict[Outcome, list[str]]:
        """Name, by outcome, the rows whose entries were taken out and are not in the ledger."""
        names: dict[Outcome, list[str]] = {}
        for each in self._unwritten:
            key = shown_key(each.candidate.key, each.candidate.invite.to)
            names.setdefault(each.outcome, []).append(row_name(each.candidate.position, key))
        return names

    def rows(self) -> list[tuple[str | None, Result]]:
        """Take out the rows that have to be written, each with its recipient key."""
        rows, self._rows = self._rows, []
        return rows

    def _entry(self, ended: Ended, at: datetime) -> Entry:
        candidate = ended.candidate
        doubt = self._doubts.pop(candidate.recipient, None)
        if ended.outcome is Outcome.HELD:
            self._report.wait_until(at)  # when it opens again, the row checker says
        if doubt is not None and ended.outcome in CERTAINLY_NOT_SENT:
            return self._keep_doubt(candidate, doubt, ended.outcome, ended.reason)
        if doubt is not None and ended.outcome is Outcome.UNKNOWN:
            ended = ended._replace(reason=doubted_again(doubt, ended.reason))
        self._add(candidate.recipient, result_of_sent(ended, at), is_sent_now=ended.outcome is Outcome.ACCEPTED)
        return entry_of_sent(ended, at)

    def _is_sent_again(self, entry: Entry) -> bool:
        return self._resend_unknown and entry.same_task and entry.outcome in IN_DOUBT

    def _keep_doubt(self, candidate: Candidate, doubt: Entry, kept_by: Outcome, reason: Reason | None) -> Entry:
        """Take an invite in doubt that was to be sent again and was not; give what the ledger keeps of it."""
        entry = still_in_doubt(doubt, reason)
        written = self._earlier.get(candidate.recipient)
        self._add(candidate.recipient, result_of_earlier(candidate, entry, written), kept_by=kept_by)
        return entry

    def _add(
        self, recipient: str | None, result: Result, *, is_sent_now: bool = False, kept_by: Outcome | None = None
    ) -> None:
        self._report.tally.add(result, is_sent_now, kept_by)
        if is_sent_now or recipient not in self._earlier:
            self._rows.append((recipient, result))
