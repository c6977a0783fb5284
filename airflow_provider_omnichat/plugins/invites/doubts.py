"""The invites in doubt of a task: what its ledger has, by the names of its rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from sqlalchemy.orm import Session

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.campaign.ledger.audit import CLAIMED, LedgerAudit
from airflow_provider_omnichat.campaign.ledger.task_state_doubts import HASH_DIGITS, doubts_in_store
from airflow_provider_omnichat.campaign.model.pages import PageError, PageQuery, ShownRow
from airflow_provider_omnichat.campaign.model.place import Place
from airflow_provider_omnichat.campaign.phone.identity import recipient_key
from airflow_provider_omnichat.hooks.databases import ledger_database
from airflow_provider_omnichat.plugins.invites.sending_tasks import SendingTask
from airflow_provider_omnichat.tasks.places import has_state_store

MOST_DOUBTS = 100
_MOST_NAMED = 1000
_NOBODY_KNOWS = (
    "This Airflow has no task state store (it came with 3.3), and the task no ledger_conn_id: its rows and its log say"
    " who is in doubt, and nothing can be settled here"
)


class ShownDoubt(NamedTuple):
    """
    An invite that may have been sent, or not.

    :param recipient: a hash, so that no number travels when it is settled.
    :param number: the whole one; None if it is not kept.
    :param at: since when it is in doubt; None if that is not kept.
    """

    recipient: str
    name: str
    number: str | None
    reason: str
    at: datetime | None


class Doubts(NamedTuple):
    """The first doubts of a task, or the problem for which they cannot be read here."""

    rows: Sequence[ShownDoubt]
    are_more: bool = False
    problem: str = ""


def doubts_of(session: Session, task: SendingTask, place: Place) -> Doubts:
    """Read the doubts of a task; the rows in its place have the names that a task state store lacks."""
    conn_id = task.rendered_text("ledger_conn_id")
    if not conn_id and not has_state_store():
        return Doubts([], problem=_NOBODY_KNOWS if task.progress.counts.get("unknown") else "")
    try:
        doubts = _of_table(task, conn_id) if conn_id else _of_store(session, task, place)
        found = list(islice(doubts, MOST_DOUBTS + 1))  # a ledger may have a million
    except OmnichatError as error:
        return Doubts([], problem=str(error))
    except Exception as error:  # no such connection, or a provider that the API server lacks
        return Doubts([], problem=f"Airflow's API server cannot reach the ledger ({type(error).__name__})")
    return Doubts(found[:MOST_DOUBTS], len(found) > MOST_DOUBTS)


def _of_table(task: SendingTask, conn_id: str) -> Iterator[ShownDoubt]:
    audit = LedgerAudit(ledger_database(conn_id), task.ledger_table)
    for row in audit.doubts(task.progress.campaign, task.identity):
        if row.outcome == CLAIMED and task.is_at_work:
            continue  # it is being sent
        number = None if row.is_forgotten else row.recipient
        name = row.row_key or "without a key"
        recipient = recipient_key(task.progress.campaign, row.recipient)
        yield ShownDoubt(recipient, name, number, row.error or "It was claimed, and has no outcome", row.claimed_at)


def _of_store(session: Session, task: SendingTask, place: Place) -> Iterator[ShownDoubt]:
    from airflow_provider_omnichat.plugins.invites.state_store import ServerSideStore  # Airflow 3.3

    doubts = doubts_in_store(ServerSideStore(session, task), task.progress.campaign, MOST_DOUBTS + 1)
    named = _named(task, place) if doubts else {}
    for doubt in doubts:
        if doubt.is_open and task.is_at_work:
            continue  # it is being sent
        row = named.get(doubt.recipient[:HASH_DIGITS])
        yield ShownDoubt(
            doubt.recipient,
            _name(row) if row else f"hash {doubt.recipient[:8]}…",
            row.number if row else None,
            str(doubt.reason),
            row.at if row else doubt.at,
        )


def _named(task: SendingTask, place: Place) -> dict[str, ShownRow]:
    """Return the rows in doubt that the place has, by their name in the task state store."""
    try:
        rows = place.page(PageQuery(outcome="unknown", size=_MOST_NAMED)).rows
    except PageError:
        return {}
    campaign = task.progress.campaign
    return {recipient_key(campaign, row.number)[:HASH_DIGITS]: row for row in rows if row.number}


def _name(row: ShownRow) -> str:
    return row.key if row.key is not None else f"row {row.position}"
