"""Settling an invite that is in doubt by what was found out about it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.privacy import scrub
from airflow_provider_omnichat.campaign.ledger.interface import Entry, Settlement
from airflow_provider_omnichat.campaign.ledger.retake import reason_of

# A claim waits for its turn, for the vendor (retry_budget, 60 seconds) and for the ledger (ledger_patience, 60
# seconds), so that minutes would do, unless the user has set a longer wait.
OPEN_CLAIM_MINUTES = 60
"""How long an open claim may be one of a task that still runs."""

SHORTEST_WHY = 3  # characters


def settled(entry: Entry, settlement: Settlement, *, no_try_runs: bool = False) -> Entry:
    """
    Return the new entry of an invite that was in doubt.

    *Sent* makes it ``accepted``: it never goes out again. *Not sent* makes it ``not_sent``: the next try sends it. A
    task that still runs after all and records how it ended stays right: its outcome replaces *not sent*, and only
    ``accepted`` replaces *sent*.

    :param no_try_runs: the caller knows that no try of the task runs: an open claim of any age can be settled.
    :raises ValueError: it is not in doubt, or may be being sent right now.
    """
    if entry.outcome not in (Outcome.UNKNOWN, None):
        how = f"{entry.outcome.label} since {entry.at:%Y-%m-%d %H:%M} UTC"
        by = f", settled by {scrub(entry.settlement.by)}" if entry.settlement else ""
        raise ValueError(f"is not in doubt: {how}{by}")
    age = settlement.at - entry.at
    if entry.outcome is None and not (no_try_runs or entry.is_over) and age < timedelta(minutes=OPEN_CLAIM_MINUTES):
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


def undone(entry: Entry, by: str) -> Entry:
    """Return the entry of an invite wrongly settled as not sent, in doubt again; a ValueError says why not."""
    what = entry.settlement
    if what is None:
        raise ValueError("was not settled, or a task has claimed it again since")
    if what.was_sent:
        raise ValueError("was settled as sent; only 'not sent' can be undone")
    said = f"It was settled as not sent by {scrub(what.by)}, which {scrub(by)} has undone"
    return entry._replace(outcome=Outcome.UNKNOWN, reason=reason_of(entry)._replace(since=said), settlement=None)


def settle_each(
    known: Mapping[str, Entry], settlements: Mapping[str, Settlement], *, no_try_runs: bool = False
) -> tuple[dict[str, Entry], dict[str, str]]:
    """Return the new entries, and why some have none, by recipient; see :func:`settled`."""
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
