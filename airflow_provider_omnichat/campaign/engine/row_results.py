"""From how an invite ended to its row of the results and its entry in the ledger."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_provider_omnichat.api.models import InviteAnswer
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason
from airflow_provider_omnichat.campaign.ledger.interface import Entry
from airflow_provider_omnichat.campaign.ledger.retake import already_invited, reason_of
from airflow_provider_omnichat.campaign.ledger.settle import reason_of_settled
from airflow_provider_omnichat.campaign.model.rows import Candidate, Result
from airflow_provider_omnichat.campaign.sending.sender import Ended


def result_of_sent(ended: Ended, at: datetime) -> Result:
    """Give the row of an invite that this try has sent, or has tried to."""
    return _result(ended.candidate, ended.outcome, at, ended.reason, ended.answer, ended.attempts)


def entry_of_sent(ended: Ended, at: datetime) -> Entry:
    """Give the entry of an invite that this try has sent, or has tried to."""
    return Entry(ended.outcome, at, ended.answer, ended.reason, ended.attempts)


def result_of_unsent(candidate: Candidate, outcome: Outcome, reason: Reason) -> Result:
    """Give the row of an invite that has to wait, or was not sent because sending had stopped."""
    return _result(candidate, outcome, datetime.now(UTC), reason)


def result_of_earlier(candidate: Candidate, entry: Entry, written: Outcome | None = None) -> Result:
    """
    Give the row of an invite that the ledger knows already.

    :param candidate: the row.
    :param entry: of the ledger.
    :param written: what an earlier result row says. After a crash between that row and the ledger, it knows more.
    """
    if not entry.same_task:
        how = entry.outcome.label if entry.outcome else "being sent"
        by_other = already_invited(f"by another task or run, {how} at {entry.at:%Y-%m-%d %H:%M:%S} UTC")
        return _result(candidate, Outcome.DUPLICATE, entry.at, by_other)
    outcome = written or entry.outcome
    if outcome is None:
        return _result(candidate, Outcome.UNKNOWN, entry.at, reason_of(entry))
    reason = reason_of(entry) if outcome is Outcome.UNKNOWN else reason_of_settled(entry)
    return _result(candidate, outcome, entry.at, reason, entry.answer, entry.attempts)


def _result(
    candidate: Candidate,
    outcome: Outcome,
    at: datetime,
    reason: Reason | None,
    answer: InviteAnswer | None = None,
    attempts: int = 0,
) -> Result:
    status = answer.status if answer else None
    return Result(
        position=candidate.position,
        key=candidate.key,
        to=candidate.invite.to,
        outcome=outcome,
        at=at.isoformat(timespec="milliseconds"),
        message_id=answer.message_id or None if answer else None,
        status_id=status.id if status else None,
        status_group=status.group_id if status else None,
        status_name=status.name if status else None,
        message_count=answer.message_count if answer else None,
        attempts=attempts,
        reason=reason,
    )
