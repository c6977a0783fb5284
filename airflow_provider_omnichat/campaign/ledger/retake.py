"""
Invites that an earlier try may have sent, and that this one shall send again.

That they are not sent now does not make it certain that they never were: until the vendor has answered for one, it
stays in doubt, whatever became of it in this try.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.campaign.ledger.interface import CERTAINLY_NOT_SENT, IN_DOUBT, Claim, Entry, Ledger

NEVER_ENDED = Reason(
    ReasonCode.CLAIM_NEVER_ENDED, "An earlier try was about to send this invite and ended before it could say how"
)
_NOT_KNOWN = Reason(ReasonCode.NOT_KNOWN, "An earlier try may have sent this invite")
_NOT_AGAIN = "It was to be sent again and was not: "
NEVER_ENDED_AGAIN = "It was to be sent again, and that try ended before it could say how"
_SENT_AGAIN = "It was sent again: "


class Claimed(NamedTuple):
    """
    What came of a block of claims.

    :param taken: what the ledger has for those that were **not** claimed, by recipient.
    :param doubts: what it had for those that were claimed although an earlier try may have sent them.
    """

    taken: Mapping[str, Entry]
    doubts: Mapping[str, Entry]


def claim(ledger: Ledger, claims: Sequence[Claim], resend_unknown: bool) -> Claimed:
    """
    Claim what may be sent, and tell what of it is in doubt.

    :param ledger: to claim in.
    :param claims: each recipient once.
    :param resend_unknown: claim also what an earlier try of this task instance may have sent.
    :raises LedgerError: as :meth:`Ledger.claim`.
    """
    doubts = doubts_among(ledger, claims) if resend_unknown else {}
    if not doubts:
        return Claimed(ledger.claim(claims, CERTAINLY_NOT_SENT), {})
    # Only these may be taken again: what a twin of this task leaves in doubt a moment later is not. And they come
    # first: if the claim of the others fails, these are open claims, which is to say in doubt.
    taken = dict(ledger.claim([each for each in claims if each.recipient in doubts], CERTAINLY_NOT_SENT | IN_DOUBT))
    taken |= ledger.claim([each for each in claims if each.recipient not in doubts], CERTAINLY_NOT_SENT)
    return Claimed(taken, {recipient: doubt for recipient, doubt in doubts.items() if recipient not in taken})


def doubts_among(ledger: Ledger, claims: Sequence[Claim]) -> dict[str, Entry]:
    """Give what an earlier try of this task instance may have sent, by recipient."""
    return {
        recipient: entry
        for recipient, entry in ledger.find(claims).items()
        if entry.same_task and entry.outcome in IN_DOUBT
    }


def reason_of(doubt: Entry) -> Reason:
    """
    Say why an invite is in doubt: the first reason, and the last thing that became of it since.

    :param doubt: what the ledger has of it. A claim that nobody ended has a reason when it was taken of a doubt.
    """
    if doubt.outcome is not None:
        return doubt.reason or _NOT_KNOWN
    return doubt.reason._replace(since=NEVER_ENDED_AGAIN) if doubt.reason else NEVER_ENDED


def doubt_of_open(claimed: Entry) -> Entry:
    """
    Give the doubt that a claim is which nobody ended.

    :param claimed: what the ledger has of it.
    """
    return claimed._replace(outcome=Outcome.UNKNOWN, reason=reason_of(claimed), attempts=0)


def still_in_doubt(doubt: Entry, reason: Reason | None) -> Entry:
    """
    Give the entry of an invite that was not sent again: the earlier one, with the answer and the time that it had.

    :param doubt: what the ledger had of it.
    :param reason: why it was not sent now.
    """
    return doubt._replace(
        outcome=Outcome.UNKNOWN,
        reason=reason_of(doubt)._replace(since=f"{_NOT_AGAIN}{reason}"),
        attempts=0 if doubt.outcome is None else doubt.attempts,
    )


def doubted_again(doubt: Entry, reason: Reason | None) -> Reason:
    """
    Give the reason of an invite that was sent again, and may have been sent twice now.

    :param doubt: what the ledger had of it.
    :param reason: why it is in doubt now.
    """
    return reason_of(doubt)._replace(since=f"{_SENT_AGAIN}{reason}")


def already_invited(detail: str = "") -> Reason:
    """
    Give the reason of an invite that this campaign has sent already, or is sending.

    :param detail: by whom and when, where that is known.
    """
    return Reason(ReasonCode.ALREADY_INVITED, "already invited in this campaign", detail=detail)
