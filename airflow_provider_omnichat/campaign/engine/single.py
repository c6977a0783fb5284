"""One invite, at most once over all tries: claim, send, record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from airflow_provider_omnichat.api.errors import (
    InvalidInviteError,
    InviteNotSentError,
    InviteRejectedError,
    InviteUnknownError,
    SendError,
)
from airflow_provider_omnichat.api.models import Invite, InviteAnswer, Status
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.campaign.ledger.interface import IN_DOUBT, Claim, Entry, Ledger, LedgerError, Settlement
from airflow_provider_omnichat.campaign.ledger.retake import claim, doubted_again, reason_of, still_in_doubt
from airflow_provider_omnichat.campaign.ledger.settle import reason_of_settled, settled
from airflow_provider_omnichat.campaign.model.sentences import sentences
from airflow_provider_omnichat.campaign.phone.identity import identity_key, identity_of

E = TypeVar("E", bound=SendError)


@dataclass(frozen=True, slots=True)
class Sent:
    """
    An accepted invite.

    :param answer: of the vendor; empty but for the number where somebody settled the doubt and has not seen one.
    :param earlier: True when an earlier try had sent it, and this one sent nothing.
    :param settled: who says that the earlier try had sent it, where it was in doubt.
    """

    answer: InviteAnswer
    earlier: bool
    settled: Reason | None = None


def send_at_most_once(
    invite: Invite,
    *,
    send: Callable[[Invite], InviteAnswer],
    ledger: Ledger,
    campaign: str,
    resend_unknown: bool = False,
    look_up: Callable[[Invite, Entry], Settlement | None] | None = None,
) -> Sent:
    """
    Send an invite unless the ledger says that it went out, or may have.

    :param invite: a checked invite.
    :param send: sends it and raises a :class:`SendError` when it was not accepted.
    :param ledger: where claims and outcomes live.
    :param campaign: the name under which one number is invited at most once.
    :param resend_unknown: send also when an earlier try may have sent it.
    :param look_up: finds out whether an earlier try of this task has sent it; gives None where it cannot
        tell. None: nobody looks.
    :raises LedgerError: the ledger cannot be read or written.
    :raises InvalidInviteError: the ledger says that this number shall get none.
    :raises SendError: the invite was not accepted, now or by an earlier try; then the text says so. An
        :class:`InviteNotSentError` is of this try alone: what was in doubt before stays so.
    """
    identity = identity_of(invite.to)
    key = identity_key(campaign, identity)
    claims = [Claim(key, identity)]
    taken, doubts = claim(ledger, claims, resend_unknown)
    if key in taken:
        if taken[key].outcome is None and taken[key].same_task:  # of a try that was killed
            ledger.leave_in_doubt(claims)
        entry = taken[key]
        if entry.outcome is None and not entry.same_task:
            raise InviteNotSentError(
                Reason(ReasonCode.ALREADY_INVITED, "Another task of this campaign is sending it now")
            )
        if look_up is not None and entry.same_task and entry.outcome in IN_DOUBT:
            settlement = look_up(invite, entry)
            if settlement is not None and not ledger.settle(claims, {key: settlement}):
                entry = settled(entry, settlement, no_try_runs=True)
        return Sent(_answer_of(entry, invite), earlier=True, settled=reason_of_settled(entry))
    try:
        answer = send(invite)
    except InviteNotSentError as error:
        if key not in doubts:
            _record(ledger, key, Entry.now(error.outcome, error.answer, error.reason), str(error))
            raise
        still = _saying(error, error.reason._replace(since="An earlier try may have sent it, so it stays in doubt."))
        _record(ledger, key, still_in_doubt(doubts[key], error.reason), str(still))
        raise still from error
    except InviteUnknownError as error:
        if key not in doubts:
            _record(ledger, key, Entry.now(error.outcome, error.answer, error.reason), str(error))
            raise
        again = _saying(error, doubted_again(doubts[key], error.reason))
        _record(ledger, key, Entry.now(error.outcome, error.answer, again.reason), str(again))
        raise again from error
    except SendError as error:
        _record(ledger, key, Entry.now(error.outcome, error.answer, error.reason), str(error))
        raise
    _record(ledger, key, Entry.now(Outcome.ACCEPTED, answer), f"The invite was accepted (messageId {answer.shown_id})")
    return Sent(answer, earlier=False)


def _record(ledger: Ledger, key: str, entry: Entry, what: str) -> None:
    try:
        ledger.record({key: entry})
        ledger.flush()
    except LedgerError as error:
        raise LedgerError(sentences(what, f"But that could not be kept for later tries: {error}")) from error


def _saying(error: E, reason: Reason) -> E:
    """Give the same error with another reason."""
    return type(error)(
        reason,
        http_status=error.http_status,
        code=error.code,
        vendor_text=error.vendor_text,
        retry_after=error.retry_after,
        answer=error.answer,
        retryable=error.retryable,
        account_fault=error.account_fault,
    )


def _answer_of(entry: Entry, invite: Invite) -> InviteAnswer:
    when = f"{entry.at:%Y-%m-%d %H:%M:%S} UTC"
    if entry.outcome is Outcome.ACCEPTED and entry.answer is not None:
        return InviteAnswer.from_json({"to": invite.to, **entry.answer.to_json()})
    if entry.outcome is Outcome.ACCEPTED and entry.settlement is not None:
        return InviteAnswer("", Status.from_json({}), message_count=None, to=invite.to, raw={"to": invite.to})
    if entry.outcome is Outcome.SUPPRESSED and entry.reason is not None:
        raise InvalidInviteError(entry.reason._replace(field="to"))
    if entry.outcome is Outcome.REJECTED:
        code = entry.reason.code if entry.reason else ReasonCode.REJECTED_BY_VENDOR
        said = sentences(when, str(entry.reason or ""))
        rejected = Reason(code, "Rejected by an earlier try, nothing was sent now", detail=said)
        raise InviteRejectedError(rejected, answer=entry.answer)
    doubt = reason_of(entry)
    said = sentences(when, str(doubt))
    in_doubt = Reason(doubt.code, "Already in doubt since an earlier try, nothing was sent now", detail=said)
    raise InviteUnknownError(in_doubt, answer=entry.answer)
