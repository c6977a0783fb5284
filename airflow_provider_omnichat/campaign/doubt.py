"""
Invites that an earlier try may have sent, and that this one is told to send again.

That they are not sent now does not make it certain that they never were: until the vendor has answered for one, it
stays in doubt, whatever became of it in this try.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.ledger import MAYBE_SENT, SENDS_AGAIN, Claim, Entry, Ledger

NEVER_ENDED = "An earlier try was about to send this invite and ended before it could say how"
_NO_REASON = "An earlier try may have sent this invite"
_NOT_AGAIN = ". It was to be sent again and was not: "


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
        return Claimed(ledger.claim(claims, SENDS_AGAIN), {})
    # Only these may be taken again: what a twin of this task leaves in doubt a moment later is not. And they come
    # first: if the claim of the others fails, these are open claims, which is to say in doubt.
    taken = dict(ledger.claim([one for one in claims if one.recipient in doubts], SENDS_AGAIN | MAYBE_SENT))
    taken |= ledger.claim([one for one in claims if one.recipient not in doubts], SENDS_AGAIN)
    return Claimed(taken, {recipient: doubt for recipient, doubt in doubts.items() if recipient not in taken})


def doubts_among(ledger: Ledger, claims: Sequence[Claim]) -> dict[str, Entry]:
    """Give what an earlier try of this task instance may have sent, by recipient."""
    return {
        recipient: entry
        for recipient, entry in ledger.find(claims).items()
        if entry.mine and entry.outcome in MAYBE_SENT
    }


def still_in_doubt(doubt: Entry, reason: str | None) -> Entry:
    """
    Give the entry of an invite that was not sent again: the earlier one, with the answer and the time that it had.

    :param doubt: what the ledger had of it.
    :param reason: why it was not sent now, for people.
    """
    # However often it is not sent: the first reason and the last.
    before = (NEVER_ENDED if doubt.outcome is None else doubt.reason or _NO_REASON).partition(_NOT_AGAIN)[0]
    return doubt._replace(
        outcome=Outcome.UNKNOWN,
        reason=f"{before.rstrip('.')}{_NOT_AGAIN}{reason}",
        attempts=0 if doubt.outcome is None else doubt.attempts,
    )
