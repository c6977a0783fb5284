"""Invites of this campaign that another task or run has claimed: how their rows end here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.privacy import printable
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.campaign.ledger.interface import Claim, Entry, Ledger
from airflow_provider_omnichat.campaign.ledger.retake import doubt_of_open, reason_of
from airflow_provider_omnichat.campaign.ledger.settle import reason_of_settled
from airflow_provider_omnichat.campaign.model.rows import Refusal

_REASONS: Mapping[Outcome | None, Reason] = {
    Outcome.ACCEPTED: Reason(ReasonCode.ACCEPTED_EARLIER, "already invited in this campaign"),
    Outcome.REJECTED: Reason(ReasonCode.REJECTED_EARLIER, "already rejected in this campaign"),
    Outcome.UNKNOWN: Reason(ReasonCode.IN_DOUBT_SINCE_EARLIER_RUN, "in doubt since an earlier run of this campaign"),
    None: Reason(ReasonCode.BEING_SENT, "another task of this campaign is sending it now"),
}


def refusal_of(entry: Entry) -> Refusal | None:
    """
    Return how a row ends whose invite is the one of another task or run, and why.

    :return: None if that one certainly did not send it.
    """
    if entry.is_over:
        entry = doubt_of_open(entry)
    if entry.outcome is Outcome.SUPPRESSED and entry.reason is not None:
        return Refusal(entry.outcome, entry.reason)
    reason = _REASONS.get(entry.outcome)
    if reason is None:
        return None
    detail = f"{printable(entry.owner)} at {entry.at:%Y-%m-%d %H:%M:%S} UTC"
    if entry.outcome is not None:
        more = reason_of(entry) if entry.outcome is Outcome.UNKNOWN else reason_of_settled(entry)
        detail += f": {more}" if more else ""
    outcome = Outcome.UNKNOWN if entry.outcome is Outcome.UNKNOWN else Outcome.DUPLICATE
    return Refusal(outcome, reason._replace(detail=detail))


def end_open_claims(ledger: Ledger, claims: Sequence[Claim], taken: Mapping[str, Entry]) -> Mapping[str, Entry]:
    """
    Turn claims whose try is over into doubts; otherwise they would stay open for ever.

    :param taken: what the ledger has of *claims*, by recipient.
    :return: the same as it is now.
    """
    if not (
        still_open := [each for each in claims if each.recipient in taken and taken[each.recipient].outcome is None]
    ):
        return taken
    ledger.leave_in_doubt(still_open)
    of_others = [each for each in still_open if not taken[each.recipient].same_task]
    return {**taken, **ledger.find(of_others)} if of_others else taken
