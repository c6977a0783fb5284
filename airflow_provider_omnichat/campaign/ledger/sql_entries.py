"""From an entry to the columns of the ledger's table, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from airflow_provider_omnichat.api.models import InviteAnswer
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.campaign.ledger.interface import Entry, LedgerError, Settlement
from airflow_provider_omnichat.campaign.sql.cursor import row_values
from airflow_provider_omnichat.campaign.sql.values import integer, moment, stamp, storable

_TEXT_LENGTH = 255
_NAME_LENGTH = 250
_SENT, _NOT_SENT = "sent", "not_sent"
_SETTLED_AS: dict[Outcome | None, str] = {Outcome.ACCEPTED: _SENT, Outcome.NOT_SENT: _NOT_SENT}


def entry_of(row: tuple[Any, ...], owner: str, table: str) -> Entry:
    """
    Read an entry.

    A settlement counts as long as the outcome is the one that it gave, and nobody has claimed the invite since.

    :param row: the columns of ``READ_COLUMNS`` behind the claim id.
    :param owner: the task instance whose own entries are ``same_task``.
    :param table: its name, for the error.
    :raises LedgerError: it cannot be read.
    """
    try:
        outcome, attempts, code, error, since, answer, claimed_by, claimed_at, ended_at, *settlement = row
        claimed = moment(claimed_at)
        return Entry(
            outcome=None if outcome is None else Outcome(outcome),
            at=claimed if ended_at is None else moment(ended_at),
            answer=None if answer is None else InviteAnswer.from_json(json.loads(answer)),
            reason=None if code is None else Reason(ReasonCode(code), error or "", since=since or ""),
            attempts=int(attempts),
            same_task=claimed_by == owner,
            settlement=_settlement(outcome, claimed, *settlement) if settlement[0] else None,
            claimed_at=claimed,
        )
    except (TypeError, ValueError):
        raise LedgerError(
            f"The ledger table {table} has a row of this campaign that cannot be read; nothing more is sent"
        ) from None


def rows_of(campaign: str, rows: Iterable[Any], table: str) -> Iterator[tuple[Any, ...]]:
    """Return rows of READ_COLUMNS without their campaign; refuse those of another that the database takes for it."""
    for found, *values in map(row_values, rows):
        if found != campaign:
            raise LedgerError(
                f"The ledger table {table} takes the campaigns {found!r} and {campaign!r} for one; nothing more is"
                " sent. Its columns must compare texts exactly, as the documentation shows (MySQL: COLLATE utf8mb4_bin)"
            )
        yield tuple(values)


def answer_values(entry: Entry) -> tuple[Any, ...]:
    """Give how it ended, from ``outcome`` to ``answer`` in the order of the table's columns."""
    answer, reason = entry.answer, entry.reason
    status = answer.status if answer else None
    return (
        None if entry.outcome is None else str(entry.outcome),
        storable(answer.message_id, _TEXT_LENGTH) if answer else None,
        integer(status.group_id) if status else None,
        integer(status.id) if status else None,
        storable(status.name, _TEXT_LENGTH) if status else None,
        integer(answer.message_count) if answer else None,
        entry.attempts,
        reason.code.value if reason else None,
        storable(reason.first) if reason else None,
        storable(reason.since) or None if reason else None,
        _json_of(answer) if answer else None,
    )


def settlement_values(settlement: Settlement) -> tuple[Any, ...]:
    """Give the values of ``SETTLED_COLUMNS``."""
    return (
        _SENT if settlement.was_sent else _NOT_SENT,
        storable(settlement.by, _NAME_LENGTH),
        stamp(settlement.at),
        storable(settlement.why),
    )


def _settlement(
    outcome: Outcome | None, claimed: datetime, settled_as: str, by: str, at: object, why: str
) -> Settlement | None:
    settled_at = moment(at)
    if settled_at < claimed or _SETTLED_AS.get(outcome) != settled_as:
        return None
    return Settlement(settled_as == _SENT, by or "", why or "", settled_at)


def _json_of(answer: InviteAnswer) -> str:
    """The whole answer without the number, which has its own column."""
    return json.dumps({name: value for name, value in answer.to_json().items() if name != "to"}, separators=(",", ":"))
