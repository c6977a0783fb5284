"""An invite that is in doubt, and what somebody has found out about it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.privacy import scrub
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.campaign.ledger.interface import Entry, Settlement
from airflow_provider_omnichat.campaign.ledger.retake import reason_of

__all__ = ["OPEN_CLAIM_MINUTES", "Settlement", "reason_of_settled", "settle_each", "settled"]

OPEN_CLAIM_MINUTES = 60
"""
How long a claim that nobody has ended may still be one of a task that runs.

A claim waits for its turn, for the vendor (``retry_budget``, 60 seconds) and for the ledger (``ledger_patience``, 60
seconds), so that minutes would do; whoever waits for longer has set it so.
"""


def settled(entry: Entry, settlement: Settlement, *, no_try_runs: bool = False) -> Entry:
    """
    Give the entry of an invite that was in doubt, and of which somebody knows now.

    *Sent* makes it ``accepted``: it never goes out again. *Not sent* makes it ``not_sent``: the next try sends it. A
    task that still runs after all and records how it ended stays right: its outcome replaces *not sent*, and of
    *sent* only ``accepted`` does.

    :param entry: what the ledger has of it.
    :param settlement: what was found.
    :param no_try_runs: the caller knows that no try of the task runs, so that a claim which nobody has ended can be
        settled whatever its age.
    :raises ValueError: it is not in doubt, or may be being sent right now; the text says what it is.
    """
    if entry.outcome not in (Outcome.UNKNOWN, None):
        how = f"{entry.outcome.label} since {entry.at:%Y-%m-%d %H:%M} UTC"
        by = f", settled by {scrub(entry.settlement.by)}" if entry.settlement else ""
        raise ValueError(f"is not in doubt: {how}{by}")
    age = settlement.at - entry.at
    if entry.outcome is None and not no_try_runs and age < timedelta(minutes=OPEN_CLAIM_MINUTES):
        raise ValueError(
            f"may be being sent right now: it was claimed at {entry.at:%Y-%m-%d %H:%M} UTC and has not ended. Wait"
            " until no task of the campaign runs"
        )
    return entry._replace(
        outcome=Outcome.ACCEPTED if settlement.was_sent else Outcome.NOT_SENT,
        answer=settlement.answer or entry.answer,
        reason=reason_of(entry),
        settlement=settlement,
    )


def settle_each(
    known: Mapping[str, Entry], settlements: Mapping[str, Settlement], *, no_try_runs: bool = False
) -> tuple[dict[str, Entry], dict[str, str]]:
    """
    Settle several; see :func:`settled`.

    :param known: what the ledger has, by recipient.
    :param settlements: by recipient.
    :param no_try_runs: the caller knows that no try of the task runs.
    :return: the new entries, and why there is none of some.
    """
    entries: dict[str, Entry] = {}
    refused: dict[str, str] = {}
    for recipient, settlement in settlements.items():
        if recipient not in known:
            refused[recipient] = "is not in this campaign"
            continue
        try:
            entries[recipient] = settled(known[recipient], settlement, no_try_runs=no_try_runs)
        except ValueError as refusal:
            refused[recipient] = str(refusal)
    return entries, refused


def reason_of_settled(entry: Entry) -> Reason | None:
    """
    Give what a result row says of an entry: of a settled one who settled it, when and why, and why it was in doubt.

    :param entry: what the ledger has of it.
    """
    settlement = entry.settlement
    if settlement is None or entry.outcome is not Outcome.ACCEPTED:
        return entry.reason
    return Reason(
        ReasonCode.SETTLED_AS_SENT,
        "settled as sent",
        detail=f"by {scrub(settlement.by)} at {settlement.at:%Y-%m-%d %H:%M} UTC, {scrub(settlement.why)}",
        since=f"It was in doubt: {entry.reason}" if entry.reason else "",
    )
