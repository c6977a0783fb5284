"""
What earlier tries and other runs have left in the ledger: which invites are sent again, and how the other rows end.

If an invite that may have been sent is not sent again now, it is still not certain that it never was: until the vendor
has answered for it, it stays in doubt, whatever happened to it in this try.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import time
from typing import NamedTuple

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.privacy import printable
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.campaign.ledger.interface import CERTAINLY_NOT_SENT, IN_DOUBT, Claim, Entry, Ledger
from airflow_provider_omnichat.campaign.model.rows import Refusal

NEVER_ENDED = Reason(
    ReasonCode.CLAIM_NEVER_ENDED, "An earlier try was about to send this invite and ended before it could say how"
)
_NOT_KNOWN = Reason(ReasonCode.NOT_KNOWN, "An earlier try may have sent this invite")
_NOT_AGAIN = "It was to be sent again and was not: "
NEVER_ENDED_AGAIN = "It was to be sent again, and that try ended before it could say how"
_SENT_AGAIN = "It was sent again: "
_EARLIER: Mapping[Outcome | None, Reason] = {
    Outcome.ACCEPTED: Reason(ReasonCode.ACCEPTED_EARLIER, "already invited in this campaign"),
    Outcome.REJECTED: Reason(ReasonCode.REJECTED_EARLIER, "already rejected in this campaign"),
    Outcome.UNKNOWN: Reason(ReasonCode.IN_DOUBT_SINCE_EARLIER_RUN, "in doubt since an earlier run of this campaign"),
    None: Reason(ReasonCode.BEING_SENT, "another task of this campaign is sending it now"),
}


class Claimed(NamedTuple):
    """The result of a block of claims, by recipient."""

    taken: Mapping[str, Entry]  # what the ledger has for those that were not claimed
    doubts: Mapping[str, Entry]  # what it had for those that were claimed although they were in doubt


@dataclass(frozen=True, slots=True)
class Retake:
    """Which invites in doubt are sent again, of those that an earlier try of this task instance may have sent."""

    resend: bool = False  # all of them: the user said so
    seconds: float | None = None  # with the same id, within so many after the first request; None if none is recognised

    def frees(self, entry: Entry) -> bool:
        """Return whether an invite that is in the ledger is sent again under any id."""
        is_resent = self.resend and entry.same_task and entry.outcome in IN_DOUBT
        return is_resent or entry.outcome in CERTAINLY_NOT_SENT

    def takes(self, claim: Claim, entry: Entry) -> bool:
        """Return whether an invite that is in the ledger is sent again."""
        if not entry.same_task or entry.outcome not in IN_DOUBT:
            return False
        if self.resend or self.seconds is None or entry.claimed_at is None:
            return self.resend
        # Under another id, or none, it was another request. And once the vendor has refused a first request as a
        # repeat, it would refuse the next one too, which then proved nothing.
        if not claim.message_id or entry.message_id != claim.message_id:
            return False
        if entry.reason is not None and entry.reason.code is ReasonCode.ID_TAKEN:
            return False
        return time() < entry.claimed_at.timestamp() + self.seconds


NEVER = Retake()
"""None of them."""


def claim(ledger: Ledger, claims: Sequence[Claim], retake: Retake) -> Claimed:
    """Claim what may be sent, and return what of it is in doubt."""
    again = {each.recipient: each for each in claims if each.again or retake.resend}
    found = doubts_among(ledger, list(again.values())) if again else {}
    doubts = {recipient: entry for recipient, entry in found.items() if retake.takes(again[recipient], entry)}
    if not doubts:
        return Claimed(ledger.claim(claims, CERTAINLY_NOT_SENT), {})
    # Only these may be taken again: not what another run of this task leaves in doubt a moment later. And they come
    # first: if the claim of the others fails, these are open claims, and so still in doubt.
    taken = dict(ledger.claim([each for each in claims if each.recipient in doubts], CERTAINLY_NOT_SENT | IN_DOUBT))
    taken |= ledger.claim([each for each in claims if each.recipient not in doubts], CERTAINLY_NOT_SENT)
    return Claimed(taken, {recipient: doubt for recipient, doubt in doubts.items() if recipient not in taken})


def doubts_among(ledger: Ledger, claims: Sequence[Claim]) -> dict[str, Entry]:
    """Return what an earlier try of this task instance may have sent, by recipient."""
    return {
        recipient: entry
        for recipient, entry in ledger.find(claims).items()
        if entry.same_task and entry.outcome in IN_DOUBT
    }


def is_in_doubt(entry: Entry) -> bool:
    """Return whether an invite may have been sent; an open claim of another task may be being sent."""
    return entry.outcome in IN_DOUBT if entry.same_task else entry.outcome is Outcome.UNKNOWN


def reason_of(doubt: Entry) -> Reason:
    """Return why an invite is in doubt: the first reason, and the last thing that happened to it since."""
    if doubt.outcome is not None:
        return doubt.reason or _NOT_KNOWN
    return doubt.reason._replace(since=NEVER_ENDED_AGAIN) if doubt.reason else NEVER_ENDED


def doubt_of_open(claimed: Entry) -> Entry:
    """Return an open claim as an invite in doubt."""
    return claimed._replace(outcome=Outcome.UNKNOWN, reason=reason_of(claimed), attempts=0)


def still_in_doubt(doubt: Entry, reason: Reason | None) -> Entry:
    """Return the entry of an invite in doubt that was not sent again: with the answer and the time that it had."""
    return doubt._replace(
        outcome=Outcome.UNKNOWN,
        reason=reason_of(doubt)._replace(since=f"{_NOT_AGAIN}{reason}"),
        attempts=0 if doubt.outcome is None else doubt.attempts,
    )


def doubted_again(doubt: Entry, reason: Reason | None) -> Reason:
    """Return the reason of an invite in doubt that was sent again, and may have been sent twice now."""
    return reason_of(doubt)._replace(since=f"{_SENT_AGAIN}{reason}")


def reason_of_settled(entry: Entry) -> Reason | None:
    """Return the reason for a result row: of a settled entry who settled it, when, why, and why it was in doubt."""
    settlement = entry.settlement
    if settlement is None or entry.outcome is not Outcome.ACCEPTED:
        return entry.reason
    return Reason(
        ReasonCode.SETTLED_AS_SENT,
        "settled as sent",
        detail=settlement.described,
        since=f"It was in doubt: {entry.reason}" if entry.reason else "",
    )


def refusal_of(entry: Entry) -> Refusal | None:
    """Return how a row ends that another task or run has claimed; None if that one certainly did not send it."""
    if entry.is_over:
        entry = doubt_of_open(entry)
    if entry.outcome is Outcome.SUPPRESSED and entry.reason is not None:
        return Refusal(entry.outcome, entry.reason)
    reason = _EARLIER.get(entry.outcome)
    if reason is None:
        return None
    detail = f"{printable(entry.owner)} at {entry.at:%Y-%m-%d %H:%M:%S} UTC"
    if entry.outcome is not None:
        more = reason_of(entry) if entry.outcome is Outcome.UNKNOWN else reason_of_settled(entry)
        detail += f": {more}" if more else ""
    outcome = Outcome.UNKNOWN if entry.outcome is Outcome.UNKNOWN else Outcome.DUPLICATE
    return Refusal(outcome, reason._replace(detail=detail))


def end_open_claims(ledger: Ledger, claims: Sequence[Claim], taken: Mapping[str, Entry]) -> Mapping[str, Entry]:
    """Turn claims whose try is over into doubts, not to stay open for ever; return what the ledger has of them now."""
    still_open = [each for each in claims if each.recipient in taken and taken[each.recipient].outcome is None]
    if not still_open:
        return taken
    ledger.leave_in_doubt(still_open)
    of_others = [each for each in still_open if not taken[each.recipient].same_task]
    return {**taken, **ledger.find(of_others)} if of_others else taken
