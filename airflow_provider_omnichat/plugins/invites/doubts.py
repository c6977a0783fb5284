"""The invites in doubt of a task: what its ledger has, by the names of its rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from sqlalchemy.orm import Session

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.api.identity import recipient_key
from airflow_provider_omnichat.campaign.ledger.audit import CLAIMED, LedgerAudit
from airflow_provider_omnichat.campaign.ledger.task_state_doubts import HASH_DIGITS, StateDoubt, doubts_in_store
from airflow_provider_omnichat.campaign.model.pages import PageError, PageQuery, ShownRow
from airflow_provider_omnichat.campaign.model.place import Place
from airflow_provider_omnichat.hooks.databases import ledger_database
from airflow_provider_omnichat.plugins.invites.access import reference_of
from airflow_provider_omnichat.plugins.invites.sending_tasks import SendingTask
from airflow_provider_omnichat.plugins.invites.state_store import ServerSideStore
from airflow_provider_omnichat.tasks.places import has_state_store

MOST_DOUBTS = 100
_ROWS_AT_ONCE = 1000
_MOST_ROWS = 20_000
_NOBODY_KNOWS = (
    "This Airflow has no task state store (it came with 3.3), and the task no ledger_conn_id: its rows and its log say"
    " who is in doubt, and nothing can be settled here"
)


class ShownDoubt(NamedTuple):
    """An invite that may have been sent, or not."""

    recipient: str  # its recipient key, of which a journal keeps the first digits; never on a page
    name: str
    number: str | None  # None if the whole one is not kept
    masked: str  # what is kept instead
    reason: str
    at: datetime  # when it was claimed, and so when it may have been sent

    @property
    def reference(self) -> str:
        return reference_of(self.recipient)


class Doubts(NamedTuple):
    """Some doubts of a task and how many come before them, or the problem for which they cannot be read here."""

    rows: Sequence[ShownDoubt]
    skipped: int = 0
    are_more: bool = False
    problem: str = ""


def doubts_of(session: Session, task: SendingTask, place: Place, skipped: int = 0) -> Doubts:
    """Read some doubts of a task; the rows in its place have the whole numbers that a task state store lacks."""
    conn_id = task.rendered_text("ledger_conn_id")
    if not conn_id and not has_state_store():
        return Doubts([], problem=_NOBODY_KNOWS if task.progress.counts.get("unknown") else "")
    try:
        found = list(islice(_all(session, task), skipped, skipped + MOST_DOUBTS + 1))  # a ledger may have a million
    except PageError as error:
        return Doubts([], problem=str(error))
    shown = _shown(task, place, found[:MOST_DOUBTS])
    return Doubts(shown, skipped, len(found) > MOST_DOUBTS)


def whole_number(session: Session, task: SendingTask, place: Place, reference: str) -> str | None:
    """Return the number of an invite in doubt; None if it is not in doubt, or its number is kept nowhere."""
    for doubt in _all(session, task):
        if reference_of(doubt.recipient) == reference:
            return _shown(task, place, [doubt])[0].number
    return None


def _all(session: Session, task: SendingTask) -> Iterator[ShownDoubt | StateDoubt]:
    conn_id = task.rendered_text("ledger_conn_id")
    try:
        yield from _of_table(task, conn_id) if conn_id else _of_store(session, task)
    except OmnichatError as error:
        raise PageError(str(error)) from None
    except Exception as error:  # no such connection, or a provider that the API server lacks
        raise PageError(f"Airflow's API server cannot reach the ledger ({type(error).__name__})") from None


def _of_table(task: SendingTask, conn_id: str) -> Iterator[ShownDoubt]:
    audit = LedgerAudit(ledger_database(conn_id), task.ledger_table)
    for row in audit.doubts(task.progress.campaign, task.identity):
        if row.outcome == CLAIMED and task.is_at_work:
            continue  # it is being sent
        number = None if row.is_forgotten else row.recipient
        name = row.row_key or "without a key"
        recipient = recipient_key(task.progress.campaign, row.recipient)
        reason = row.error or "It was claimed, and has no outcome"
        yield ShownDoubt(recipient, name, number, "", reason, row.earliest)


def _of_store(session: Session, task: SendingTask) -> Iterator[StateDoubt]:
    found = doubts_in_store(ServerSideStore(session, task), task.progress.campaign)
    yield from (doubt for doubt in found if not (doubt.is_open and task.is_at_work))  # else it is being sent


def _shown(task: SendingTask, place: Place, doubts: Sequence[ShownDoubt | StateDoubt]) -> list[ShownDoubt]:
    stored = {each.recipient[:HASH_DIGITS] for each in doubts if isinstance(each, StateDoubt)}
    rows = _rows_of(task, place, stored) if stored else {}
    return [
        _named(each, rows.get(each.recipient[:HASH_DIGITS])) if isinstance(each, StateDoubt) else each
        for each in doubts
    ]


def _named(doubt: StateDoubt, row: ShownRow | None) -> ShownDoubt:
    number = row.number if row else None
    name = doubt.key or (row.key if row else None)
    if name is None:
        name = f"row {row.position}" if row else "without a key" if doubt.number else f"hash {doubt.recipient[:8]}…"
    return ShownDoubt(doubt.recipient, name, number, doubt.number or "", str(doubt.reason), doubt.at)


def _rows_of(task: SendingTask, place: Place, wanted: set[str]) -> dict[str, ShownRow]:
    """Return the rows of some doubts that the place has, by their name in the task state store."""
    found: dict[str, ShownRow] = {}
    query = PageQuery(outcome="unknown", size=_ROWS_AT_ONCE)
    for _ in range(_MOST_ROWS // _ROWS_AT_ONCE):
        try:
            page = place.page(query)
        except PageError:
            break
        rows = {recipient_key(task.progress.campaign, row.number)[:HASH_DIGITS]: row for row in page.rows if row.number}
        found |= {name: row for name, row in rows.items() if name in wanted}
        if page.after is None or page.looked_at is not None or len(found) == len(wanted):
            break
        query = query._replace(after=page.after)
    return found
