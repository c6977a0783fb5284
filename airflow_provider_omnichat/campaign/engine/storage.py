"""What a campaign keeps outside of the process: claims and outcomes in the ledger, and the result rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.engine.patience import Patience, PatientLedger, PatientResults
from airflow_provider_omnichat.campaign.engine.plan import CampaignPlan
from airflow_provider_omnichat.campaign.engine.report import CampaignReport
from airflow_provider_omnichat.campaign.ledger.frequency_cap import CappedLedger
from airflow_provider_omnichat.campaign.ledger.interface import Claim, Entry, Ledger, Settlement
from airflow_provider_omnichat.campaign.ledger.retake import Claimed, claim
from airflow_provider_omnichat.campaign.model.rows import Result

Rows = Sequence[tuple[str | None, Result]]
"""Result rows, each with its recipient key; None for a row without one, such as an invalid number."""

_NOTHING = Claimed({}, {})


class Storage:
    """
    The ledger and the results together, so that they agree; used from one thread.

    Failures are noted in the report, and nothing is claimed after one.

    :param ledger: of the campaign.
    :param results: of the campaign.
    :param earlier: the decided rows that earlier tries have written, by recipient key.
    :param resend_unknown: claim also what an earlier try may have sent.
    :param report: takes the failures.
    """

    def __init__(
        self,
        ledger: Ledger,
        results: PatientResults,
        earlier: Mapping[str, Outcome],
        resend_unknown: bool,
        report: CampaignReport,
    ) -> None:
        self.earlier = earlier
        self._ledger = ledger
        self._results = results
        self._resend_unknown = resend_unknown
        self._report = report

    @classmethod
    def open(cls, plan: CampaignPlan, report: CampaignReport, patience: Patience) -> Storage:
        """
        Open what the plan names.

        :param plan: of the campaign.
        :param report: takes later failures.
        :param patience: with later outages.
        :raises OmnichatError: the ledger or earlier results cannot be read.
        """
        results, cap = plan.records.results, plan.rules.frequency_cap
        patient = PatientLedger(plan.records.ledger(), patience)
        ledger: Ledger = CappedLedger(patient, cap) if cap else patient
        try:
            earlier = results.earlier()
        except BaseException:
            ledger.close()
            raise
        return cls(ledger, PatientResults(results, patience), earlier, plan.pace.resend_unknown, report)

    def write(
        self, rows: Rows, entries: Mapping[str, Entry], to_claim: Sequence[Claim], to_find: Sequence[Claim]
    ) -> Claimed:
        """
        Write what has ended, then claim what comes next.

        Result rows come first, so that a crash in between loses no message id.

        :param rows: for the results.
        :param entries: for the ledger, by recipient.
        :param to_claim: what is about to be sent.
        :param to_find: what is not sent now.
        :return: what the ledger has of those that were not claimed, those to find among them.
        """
        try:
            self._results.write(rows)
        except OmnichatError as error:
            self._report.fail(error)
        try:
            self._ledger.record(entries)
            if self._report.failure is not None:
                return _NOTHING  # what was recorded is tried once more at the end
            claimed = self._claim(to_claim) if to_claim else _NOTHING
            return claimed._replace(taken={**claimed.taken, **self._find(to_find)})
        except OmnichatError as error:
            self._report.failure = error
            return _NOTHING

    def settle(self, claim: Claim, settlement: Settlement) -> bool:
        """
        Write what was found out about an invite in doubt, and tell whether it was still in doubt.

        :param claim: of the invite.
        :param settlement: what was found.
        """
        try:
            return not self._ledger.settle([claim], {claim.recipient: settlement})
        except OmnichatError as error:
            self._report.fail(error)
            return False

    def flush(self) -> bool:
        """Make what was recorded in the ledger durable, and tell whether it is."""
        try:
            self._ledger.flush()
        except OmnichatError as error:
            self._report.fail(error)
            return False
        return True

    def close(self, rows: Rows) -> bool:
        """
        Write the last rows, make everything durable, and tell whether the ledger is.

        :param rows: for the results.
        """
        with closing(self._ledger):
            try:
                self._results.write(rows)
                self._results.close(whole=self._report.is_complete and self._report.failure is None)
            except OmnichatError as error:
                self._report.fail(error)
            return self.flush()

    def _claim(self, claims: Sequence[Claim]) -> Claimed:
        # What a result row says was decided is never sent again, although a crash kept it out of the ledger.
        decided = [each for each in claims if each.recipient in self.earlier] if self.earlier else []
        free = [each for each in claims if each.recipient not in self.earlier] if decided else claims
        claimed = claim(self._ledger, free, self._resend_unknown)
        self._end_what_nobody_ended(free, claimed.taken)
        return claimed._replace(taken={**self._find(decided), **claimed.taken}) if decided else claimed

    def _end_what_nobody_ended(self, claims: Sequence[Claim], taken: Mapping[str, Entry]) -> None:
        """Claims of a try that was killed are doubts; else they would stand as claimed when the campaign is over."""
        if open_claims := {name for name, entry in taken.items() if entry.outcome is None and entry.same_task}:
            self._ledger.leave_in_doubt([each for each in claims if each.recipient in open_claims])

    def _find(self, claims: Sequence[Claim]) -> Mapping[str, Entry]:
        if not claims:
            return {}
        decided = {
            each.recipient: Entry.now(outcome) for each in claims if (outcome := self.earlier.get(each.recipient))
        }
        return {**decided, **self._ledger.find(claims)}
