"""One invite, at most once over all tries: claim, send, record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

from airflow_provider_omnichat.api.errors import (
    InvalidInviteError,
    InviteNotSentError,
    InviteRejectedError,
    InviteUnknownError,
    SendError,
    SmsLogsError,
)
from airflow_provider_omnichat.api.identity import identity_key, identity_of
from airflow_provider_omnichat.api.models import Invite, InviteAnswer, Status
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.api.sms import SmsInvite
from airflow_provider_omnichat.campaign.ledger.interface import Claim, Entry, Ledger, LedgerError, Settlement
from airflow_provider_omnichat.campaign.ledger.retake import (
    NEVER,
    Retake,
    claim,
    doubted_again,
    end_open_claims,
    is_in_doubt,
    reason_of,
    reason_of_settled,
    refusal_of,
    still_in_doubt,
)
from airflow_provider_omnichat.campaign.ledger.settle import settled
from airflow_provider_omnichat.campaign.model.message_ids import MessageIds
from airflow_provider_omnichat.campaign.model.sentences import sentences

LookUpOne = Callable[[Invite, Entry], Settlement | None]

SHOWN_AS = {
    ReasonCode.ACCEPTED_EARLIER: Outcome.DUPLICATE,
    ReasonCode.REJECTED_EARLIER: Outcome.DUPLICATE,
    ReasonCode.BEING_SENT: Outcome.DUPLICATE,
    ReasonCode.FORGOTTEN: Outcome.SUPPRESSED,
}
"""The outcomes that a list has for these reasons; a single invite returns or raises what comes of them."""


@dataclass(frozen=True, slots=True)
class Sent:
    """An accepted invite."""

    answer: InviteAnswer  # has only the number if a doubt was settled without an answer
    earlier: bool  # whether an earlier try had sent it, and this one sent nothing
    reason: Reason | None = None  # why not, unless this task's earlier try has the answer: of another one, or settled


def send_at_most_once(
    invite: Invite,
    *,
    send: Callable[..., InviteAnswer],
    ledger: Ledger,
    campaign: str,
    retake: Retake = NEVER,
    look_up: LookUpOne | None = None,
) -> Sent:
    """
    Send an invite unless it is in the ledger as sent or possibly sent.

    :param send: raises a :class:`SendError` if it was not accepted. If an earlier try may have sent it under its id, it
        also gets the POSIX time of that.
    :param retake: whether to send even if an earlier try may have sent it: with the same id, only after *look_up* has
        not found it.
    :param look_up: returns None if the logs do not have an invite in doubt; an SmsLogsError leaves it in doubt.
    :raises InvalidInviteError: the ledger says that this number must not be invited.
    :raises SendError: the invite was not accepted, now or by an earlier try; the text says which. An
        :class:`InviteNotSentError` is about this try only: an earlier doubt remains.
    """
    identity = identity_of(invite.to)
    key = identity_key(campaign, identity)
    if isinstance(invite, SmsInvite):
        invite = MessageIds(ledger.id_key(), campaign).named(invite, key)
    claims = [Claim(key, identity, None, invite.message_id or None, again=retake.seconds is not None)]
    taken, doubts = claim(ledger, claims, retake if retake.resend else NEVER)
    if key in taken:
        entry = end_open_claims(ledger, claims, taken)[key]
        is_missed = False
        if look_up is not None and is_in_doubt(entry):
            entry, is_missed = _looked_up(ledger, claims, entry, invite, look_up)
        if not entry.same_task:
            return _sent_elsewhere(entry, invite)
        if not is_missed or not retake.takes(claims[0], entry):
            return Sent(_answer_of(entry, invite), earlier=True, reason=reason_of_settled(entry))
        # The logs do not have it, after all the time that they may take: so it is repeated.
        taken, doubts = claim(ledger, claims, retake)
        if key in taken:
            return _sent_elsewhere(taken[key], invite)
    doubt = doubts.get(key)
    first_at = [doubt.claimed_at.timestamp() if doubt.claimed_at else 0.0] if doubt and invite.message_id else []
    try:
        answer = send(invite, *first_at)
    except SendError as error:
        told, entry = error, Entry.now(error.outcome, error.answer, error.reason, message_id=invite.message_id or None)
        if doubt is not None and isinstance(error, InviteNotSentError):
            since = "An earlier try may have sent it, so it stays in doubt."
            told, entry = _with_reason(error, error.reason._replace(since=since)), still_in_doubt(doubt, error.reason)
        elif doubt is not None and isinstance(error, InviteUnknownError):
            told = _with_reason(error, doubted_again(doubt, error.reason))
            entry = entry._replace(reason=told.reason)
        _record(ledger, key, entry, str(told))
        if look_up is not None and invite.message_id and entry.outcome is Outcome.UNKNOWN:
            entry, _ = _looked_up(ledger, claims, entry, invite, look_up)
            if entry.outcome is Outcome.ACCEPTED:
                return Sent(_answer_of(entry, invite), earlier=False)
        if told is error:
            raise
        raise told from error
    accepted = Entry.now(Outcome.ACCEPTED, answer, message_id=invite.message_id or None)
    _record(ledger, key, accepted, f"The invite was accepted (messageId {answer.shown_id})")
    return Sent(answer, earlier=False)


def _looked_up(
    ledger: Ledger, claims: Sequence[Claim], entry: Entry, invite: Invite, look_up: LookUpOne
) -> tuple[Entry, bool]:
    """Return the entry of an invite in doubt, settled if it was found, and whether the logs do not have it."""
    try:
        found = look_up(invite, entry)
    except SmsLogsError:  # told by whoever looks up
        return entry, False
    if found is None or ledger.settle(claims, {claims[0].recipient: found}):
        return entry, found is None
    return settled(entry, found, no_try_runs=True), False


def _record(ledger: Ledger, key: str, entry: Entry, what: str) -> None:
    try:
        ledger.record({key: entry})
        ledger.flush()
    except LedgerError as error:
        raise LedgerError(sentences(what, f"But that could not be kept for later tries: {error}")) from error


def _with_reason(error: SendError, reason: Reason) -> SendError:
    """Return the same error with another reason."""
    others = {each.name: getattr(error, each.name) for each in fields(error) if each.name != "reason"}
    return type(error)(reason, **others)


def _sent_elsewhere(entry: Entry, invite: Invite) -> Sent:
    """Return what another task or run has sent, or raise the error that says what it did."""
    refusal = refusal_of(entry)
    not_there = Reason(ReasonCode.BEING_SENT, "another task of this campaign has just not sent it")
    reason = refusal.reason if refusal else entry.reason or not_there
    if entry.outcome is Outcome.ACCEPTED:
        return Sent(_answer_of(entry, invite), earlier=True, reason=reason)
    told = reason._replace(text=reason.text.capitalize(), since="Nothing was sent now")
    if entry.outcome is Outcome.REJECTED:
        raise InviteRejectedError(told, answer=entry.answer)
    kind = InviteUnknownError if entry.outcome is Outcome.UNKNOWN else InviteNotSentError
    raise kind(told, answer=entry.answer)


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
