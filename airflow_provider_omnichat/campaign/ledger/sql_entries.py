"""Entries as rows of the ledger's table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, TypeVar

from airflow_provider_omnichat.api.models import InviteAnswer
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.campaign.ledger.interface import Entry, LedgerError, Settlement
from airflow_provider_omnichat.campaign.ledger.sql_table import SETTLED_COLUMNS, SqlTable
from airflow_provider_omnichat.campaign.sql.drivers import row_values
from airflow_provider_omnichat.campaign.sql.values import integer, moment, stamp, storable

T = TypeVar("T")

_READ_COLUMNS = (
    *("campaign", "recipient", "claim_id", "outcome", "attempts", "reason_code", "error", "since", "answer"),
    *("claimed_by", "claimed_at", "ended_at", "message_id", "first_at", *SETTLED_COLUMNS),
)
_TEXT_LENGTH = 255
_NAME_LENGTH = 250
_SENT, _NOT_SENT = "sent", "not_sent"
_SETTLED_AS: dict[Outcome | None, str] = {Outcome.ACCEPTED: _SENT, Outcome.NOT_SENT: _NOT_SENT}


def read_rows(
    cursor: Any, table: SqlTable, campaign: str, recipients: Sequence[str]
) -> Iterator[tuple[str, str, tuple[Any, ...]]]:
    """Read recipient, claim id, and what :func:`entry_of` takes, of those that are in the campaign."""
    for block in in_statements(table, recipients):
        cursor.execute(
            f"SELECT {', '.join(_READ_COLUMNS)} FROM {table.sql_name}"  # noqa: S608 - checked names only
            f" WHERE campaign = {table.placeholder} AND recipient IN ({table.marks(len(block))})",
            (campaign, *block),
        )
        for found, recipient, claim_id, *values in map(row_values, cursor.fetchall()):
            if found != campaign:
                raise LedgerError(
                    f"The ledger table {table.name} takes the campaigns {found!r} and {campaign!r} for one; nothing"
                    " more is sent. Its columns must compare texts exactly, as the documentation shows (MySQL:"
                    " COLLATE utf8mb4_bin)"
                )
            yield recipient, claim_id, tuple(values)


def in_statements(table: SqlTable, items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Divide items into blocks that fit into one statement."""
    size = table.rows_a_statement
    return (items[start : start + size] for start in range(0, len(items), size))


def entry_of(values: Iterable[Any], owner: str, table: SqlTable) -> Entry:
    """Build an entry from what :func:`read_rows` read; those of *owner*, a task instance, are ``same_task``."""
    try:
        outcome, attempts, code, error, since, answer, claimed_by, claimed_at, ended_at, message_id, *more = values
        claimed, (first_at, *settlement) = moment(claimed_at), more
        return Entry(
            outcome=None if outcome is None else Outcome(outcome),
            at=claimed if ended_at is None else moment(ended_at),
            answer=None if answer is None else InviteAnswer.from_json(json.loads(answer)),
            reason=None if code is None else Reason(ReasonCode(code), error or "", since=since or ""),
            attempts=int(attempts),
            same_task=claimed_by == owner,
            settlement=_settlement(outcome, claimed, *settlement) if settlement[0] else None,
            claimed_at=claimed if first_at is None else moment(first_at),
            owner=claimed_by,
            message_id=message_id or None,
            was_repeated=first_at is not None,
        )
    except (TypeError, ValueError):
        raise LedgerError(
            f"The ledger table {table.name} has a row of this campaign that cannot be read; nothing more is sent"
        ) from None


def answer_values(entry: Entry) -> tuple[Any, ...]:
    """Return how an invite ended: the values of the columns from ``outcome`` to ``answer``."""
    answer, reason = entry.answer, entry.reason
    status = answer.status if answer else None
    return (
        None if entry.outcome is None else str(entry.outcome),
        storable(answer.message_id, _TEXT_LENGTH) if answer else entry.message_id,
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
    """Return the values of SETTLED_COLUMNS."""
    settled_as = _SENT if settlement.was_sent else _NOT_SENT
    return settled_as, storable(settlement.by, _NAME_LENGTH), stamp(settlement.at), storable(settlement.why)


def _settlement(
    outcome: Outcome | None, claimed: datetime, settled_as: str, by: str, at: object, why: str
) -> Settlement | None:
    settled_at = moment(at)
    # It counts as long as the outcome is the one that it gave, and the invite was not claimed again since.
    if settled_at < claimed or _SETTLED_AS.get(outcome) != settled_as:
        return None
    return Settlement(settled_as == _SENT, by or "", why or "", settled_at)


def _json_of(answer: InviteAnswer) -> str:
    """Return the whole answer without the number, which has its own column."""
    return json.dumps({name: value for name, value in answer.to_json().items() if name != "to"}, separators=(",", ":"))
