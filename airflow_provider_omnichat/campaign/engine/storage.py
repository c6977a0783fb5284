"""The ledger and the place for results together, so that they agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.engine.patience import Patience, PatientLedger, PatientResults
from airflow_provider_omnichat.campaign.engine.plan import CampaignPlan
from airflow_provider_omnichat.campaign.engine.report import CampaignReport
from airflow_provider_omnichat.campaign.ledger.frequency_cap import CappedLedger
from airflow_provider_omnichat.campaign.ledger.interface import (
    CERTAINLY_NOT_SENT,
    IN_DOUBT,
    Claim,
    Entry,
    Ledger,
    Settlement,
)
from airflow_provider_omnichat.campaign.ledger.retake import Claimed, claim, end_open_claims
from airflow_provider_omnichat.campaign.model.message_ids import MessageIds
from airflow_provider_omnichat.campaign.model.rows import Result

Rows = Sequence[tuple[str | None, Result]]
"""Result rows, each with its recipient key; None for a row without one, such as an invalid number."""

_NOTHING = Claimed({}, {})
# In doubt, or wrongly settled as not sent.
_UNDECIDED = IN_DOUBT | CERTAINLY_NOT_SENT


class Storage:
    """
    What a campaign keeps outside the process; used from one thread.

    It fails if the ledger or earlier results cannot be read. Later failures are noted in the report, and nothing is
    claimed after one.
    """

    def __init__(self, plan: CampaignPlan, report: CampaignReport, patience: Patience) -> None:
        results, cap = plan.records.results, plan.rules.frequency_cap
        self._uncapped = patient = PatientLedger(plan.records.ledger(), patience)
        self._ledger: Ledger = CappedLedger(patient, cap) if cap else patient
        self.group_factor = self._ledger.group_factor
        self._results = PatientResults(results, patience)
        self._retake = plan.pace.retake
        self._report = report
        try:
            self.earlier: Mapping[str, Outcome] = results.earlier()
            """The decided rows that earlier tries have written, by recipient key."""
            has_ids = plan.invite.link is not None
            self.message_ids = [MessageIds(self._ledger.id_key(), plan.campaign)] if has_ids else []
            self.repeated = self._ledger.repeated() if plan.pace.repeat_seconds is not None else 0
        except BaseException:
            self._ledger.close()
            raise

    def write(
        self, rows: Rows, entries: Mapping[str, Entry], to_claim: Sequence[Claim], to_find: Sequence[Claim]
    ) -> Claimed | None:
        """
        Write result rows and ledger entries, then claim what is sent next.

        :param to_find: not sent now, and therefore not claimed.
        :return: what the ledger has of those not claimed, including *to_find*; None if that is not known.
        """
        try:
            self._results.write(rows)  # first, so that a crash in between loses no message id
        except OmnichatError as error:
            self._report.fail(error)
        try:
            self._ledger.record(entries)
            if self._report.failure is not None:
                return None  # close() tries once more to write what was recorded
            claimed = self._claim(to_claim) if to_claim else _NOTHING
            found = self._find(to_find)
        except OmnichatError as error:
            self._report.failure = error
            return None
        self._flush()
        return claimed._replace(taken={**claimed.taken, **found}) if found else claimed

    def decided(self, claims: Sequence[Claim]) -> Mapping[str, Entry]:
        """Return, by recipient, what the ledger has of those that :meth:`write` would not claim."""
        try:
            found = self._find(claims)
        except OmnichatError as error:
            self._report.fail(error)
            return {}
        return {name: entry for name, entry in found.items() if name in self.earlier or not self._retake.frees(entry)}

    def settle(self, claim: Claim, settlement: Settlement) -> bool:
        """Settle an invite in doubt; return False if it was no longer in doubt."""
        try:
            return not self._ledger.settle([claim], {claim.recipient: settlement})
        except OmnichatError as error:
            self._report.fail(error)
            return False

    def close(self, rows: Rows) -> bool:
        """Write the last rows and make everything durable; return whether that worked for the ledger."""
        with closing(self._ledger):
            try:
                self._results.write(rows)
                self._results.close(whole=self._report.is_complete and self._report.failure is None)
            except OmnichatError as error:
                self._report.fail(error)
            return self._flush()

    def _flush(self) -> bool:
        try:
            self._ledger.flush()
        except OmnichatError as error:
            self._report.fail(error)
            return False
        return True

    def _claim(self, claims: Sequence[Claim]) -> Claimed:
        # What a result row calls decided is never sent again, even if a crash kept it out of the ledger.
        decided = [each for each in claims if each.recipient in self.earlier] if self.earlier else []
        free = [each for each in claims if each.recipient not in self.earlier] if decided else claims
        claimed = claim(self._ledger, free, self._retake)
        taken = end_open_claims(self._ledger, free, claimed.taken)
        return claimed._replace(taken={**self._find(decided), **taken})

    def _find(self, claims: Sequence[Claim]) -> Mapping[str, Entry]:
        if not claims:
            return {}
        written = {each.recipient: self.earlier.get(each.recipient) for each in claims}
        decided = {name: Entry.now(outcome) for name, outcome in written.items() if outcome}
        found = self._ledger.find(claims)
        behind = [each for each in claims if each.recipient in decided and _is_undecided(found.get(each.recipient))]
        if behind:
            found = {**found, **self._catch_up(behind, decided, found)}
        return {**decided, **end_open_claims(self._ledger, claims, found)}

    def _catch_up(
        self, claims: Sequence[Claim], decided: Mapping[str, Entry], found: Mapping[str, Entry]
    ) -> Mapping[str, Entry]:
        """Record in the ledger what a try could write only into the rows before it was killed."""
        taken = self._uncapped.claim(claims, _UNDECIDED)  # a ledger records only what was claimed through it
        names = [each.recipient for each in claims if each.recipient not in taken]
        ended = {name: decided[name]._replace(at=found[name].at, message_id=found[name].message_id) for name in names}
        self._ledger.record(ended)
        self._ledger.flush()
        return ended


def _is_undecided(entry: Entry | None) -> bool:
    return entry is not None and entry.same_task and entry.outcome in _UNDECIDED
