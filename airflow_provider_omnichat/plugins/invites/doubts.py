"""Who is in doubt of a task: what its ledger has, by the names of its rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from sqlalchemy.orm import Session

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.campaign.ledger.audit import CLAIMED, LedgerAudit
from airflow_provider_omnichat.campaign.ledger.task_state_doubts import SHORT_DIGITS, doubts_in_store
from airflow_provider_omnichat.campaign.model.pages import PageError, PageQuery, ShownRow
from airflow_provider_omnichat.campaign.phone.identity import recipient_key
from airflow_provider_omnichat.hooks.databases import ledger_database
from airflow_provider_omnichat.plugins.invites.metadata import has_state_store
from airflow_provider_omnichat.plugins.invites.row_places import RowPlace, ledger_table, rendered_text
from airflow_provider_omnichat.plugins.invites.sending_tasks import SendingTask

MOST_DOUBTS = 100
_MOST_NAMED = 1000
_NOBODY_KNOWS = (
    "This Airflow has no task state store (it came with 3.3), and the task no ledger_conn_id: its rows and its log say"
    " who is in doubt, and there is nothing to be settled"
)


class ShownDoubt(NamedTuple):
    """
    An invite that may have been sent, or not.

    :param recipient: stands for it where it is settled: a hash, so that no number travels.
    :param name: of its row.
    :param number: the whole one; None where it is not kept.
    :param reason: why it is in doubt.
    :param at: since when; None where that is not kept.
    """

    recipient: str
    name: str
    number: str | None
    reason: str
    at: datetime | None


class Doubts(NamedTuple):
    """
    The doubts of a task.

    :param rows: some of them.
    :param are_more: whether there are others.
    :param problem: why they cannot be read here.
    """

    rows: Sequence[ShownDoubt]
    are_more: bool = False
    problem: str = ""


def doubts_of(session: Session, task: SendingTask, place: RowPlace) -> Doubts:
    """
    Give who is in doubt of a task.

    :param session: to the metadata database.
    :param task: the task instance.
    :param place: where its rows are: they have the names that a task state store has not.
    """
    conn_id = rendered_text(task, "ledger_conn_id")
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
    audit = LedgerAudit(ledger_database(conn_id), ledger_table(task))
    for row in audit.doubts(task.progress.campaign, task.identity):
        if row.outcome == CLAIMED and task.is_at_work:
            continue  # it is being sent
        number = None if row.is_forgotten else row.recipient
        name = row.row_key or "without a key"
        recipient = recipient_key(task.progress.campaign, row.recipient)
        yield ShownDoubt(recipient, name, number, row.error or "It was claimed, and has not ended", row.claimed_at)


def _of_store(session: Session, task: SendingTask, place: RowPlace) -> Iterator[ShownDoubt]:
    from airflow_provider_omnichat.plugins.invites.state_store import ServerSideStore  # Airflow 3.3

    doubts = doubts_in_store(ServerSideStore(session, task), task.progress.campaign, MOST_DOUBTS + 1)
    named = _named(task, place) if doubts else {}
    for doubt in doubts:
        if doubt.is_open and task.is_at_work:
            continue  # it is being sent
        row = named.get(doubt.recipient[:SHORT_DIGITS])
        yield ShownDoubt(
            doubt.recipient,
            _name(row) if row else f"hash {doubt.recipient[:8]}…",
            row.number if row else None,
            str(doubt.reason),
            row.at if row else doubt.at,
        )


def _named(task: SendingTask, place: RowPlace) -> dict[str, ShownRow]:
    """Give the rows in doubt by what stands for them in the task state store, where the results have them."""
    if place.pages is None:
        return {}
    try:
        rows = place.pages.page(PageQuery(outcome="unknown", size=_MOST_NAMED)).rows
    except PageError:
        return {}
    campaign = task.progress.campaign
    return {recipient_key(campaign, row.number)[:SHORT_DIGITS]: row for row in rows if row.number}


def _name(row: ShownRow) -> str:
    return row.key if row.key is not None else f"row {row.position}"
