"""Doubts that a user settles on the page, or settled wrongly and puts back in doubt."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy.orm import Session

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.api.identity import recipient_key
from airflow_provider_omnichat.campaign.ledger.admin import LedgerAdmin
from airflow_provider_omnichat.campaign.ledger.audit import LedgerAudit
from airflow_provider_omnichat.campaign.ledger.interface import Settlement
from airflow_provider_omnichat.campaign.ledger.settle import SHORTEST_WHY
from airflow_provider_omnichat.campaign.ledger.task_state_doubts import (
    doubts_in_store,
    settle_in_store,
    standing_in_store,
    undo_in_store,
)
from airflow_provider_omnichat.hooks.databases import ledger_database
from airflow_provider_omnichat.plugins.invites.access import reference_of
from airflow_provider_omnichat.plugins.invites.metadata import locked_state
from airflow_provider_omnichat.plugins.invites.sending_tasks import STATES_AT_WORK, SendingTask
from airflow_provider_omnichat.plugins.invites.state_store import ServerSideStore
from airflow_provider_omnichat.tasks.places import has_state_store

# How long a worker may still send for a task that a user has marked as failed, or that Airflow gave up.
_LAST_WORD_MINUTES = 5
Reference = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class NotSettledError(Exception):
    """Nothing was written; the text says why."""


class _Body(BaseModel):
    # The audit log takes names from the address, then from the body: a body must not name another task.
    model_config = ConfigDict(extra="forbid")


class InviteBody(_Body):
    """Which invite in doubt is meant; ``recipient`` is the reference on the page."""

    recipient: Reference


class SettleBody(_Body):
    """What a user found out about invites in doubt, and how; see :class:`InviteBody`."""

    recipients: list[Reference] = Field(min_length=1, max_length=100)
    settled_as: Literal["sent", "not_sent", "in_doubt"]
    why: Annotated[str, StringConstraints(strip_whitespace=True, min_length=SHORTEST_WHY, max_length=200)]

    @property
    def is_undone(self) -> bool:
        """Whether it takes back that they were not sent."""
        return self.settled_as == "in_doubt"

    def settlement(self, by: str) -> Settlement:
        return Settlement(was_sent=self.settled_as == "sent", by=by, why=self.why, at=datetime.now(UTC))


class Answer(NamedTuple):
    """The names of the rows that were settled, and why others were not, by name."""

    names: list[str]
    refused: Mapping[str, str]


def settle(session: Session, task: SendingTask, body: SettleBody, by: str) -> Answer:
    """Record how invites in doubt ended, or take it back; raise NotSettledError if nothing was written."""
    conn_id = task.rendered_text("ledger_conn_id")
    try:
        return _in_table(session, task, conn_id, body, by) if conn_id else _in_store(session, task, body, by)
    except OmnichatError as error:
        raise NotSettledError(str(error)) from None


def _lock(session: Session, task: SendingTask) -> datetime | None:
    """Keep a task that is not at work from beginning until the commit; return when its last try ended."""
    state, end = locked_state(session, task)
    if state in STATES_AT_WORK:
        raise NotSettledError(f"The task is at work ({state}); settle its doubts when it has ended")
    return end


def _in_table(session: Session, task: SendingTask, conn_id: str, body: SettleBody, by: str) -> Answer:
    campaign = task.progress.campaign
    try:
        database, table = ledger_database(conn_id), task.ledger_table
        audit, admin = LedgerAudit(database, table), LedgerAdmin(database, table)
    except OmnichatError:
        raise
    except Exception as error:  # no such connection or table, or a provider that the API server lacks
        why = f"Airflow's API server cannot reach the ledger ({type(error).__name__}); nothing was written"
        raise NotSettledError(why) from None
    # Only what this task has claimed: the campaign's name comes from an XCom, which may have been edited.
    rows = (audit.settled if body.is_undone else audit.doubts)(campaign, task.identity)
    named = ((row.recipient, recipient_key(campaign, row.recipient), row.row_key) for row in rows)
    found = {each: (reference_of(hashed), key or f"hash {hashed[:8]}…") for each, hashed, key in named}
    found = {each: names for each, names in found.items() if names[0] in body.recipients}
    try:
        if found:
            _lock(session, task)  # not earlier: while the ledger is slow, the scheduler would wait for the task's row
        refused = (
            admin.undo(campaign, list(found), by)
            if body.is_undone
            else admin.settle(campaign, dict.fromkeys(found, body.settlement(by)))
        )
    finally:
        admin.close()
    return _answer(body, found, refused)


def _in_store(session: Session, task: SendingTask, body: SettleBody, by: str) -> Answer:
    if not has_state_store():
        raise NotSettledError(
            "It is in no ledger: this Airflow has no task state store, and the task no ledger_conn_id"
        )
    end = _lock(session, task)
    store, campaign, settlement = ServerSideStore(session, task), task.progress.campaign, body.settlement(by)
    is_over = end is not None and settlement.at - end > timedelta(minutes=_LAST_WORD_MINUTES)
    keys: Mapping[str, str | None] = (
        {each: kept.person and kept.person.key for each, kept in standing_in_store(store, campaign).settled.items()}
        if body.is_undone
        else {doubt.recipient: doubt.key for doubt in doubts_in_store(store, campaign)}
    )
    found = {each: (reference_of(each), key or f"hash {each[:8]}…") for each, key in keys.items()}
    found = {each: names for each, names in found.items() if names[0] in body.recipients}
    refused = (
        undo_in_store(store, campaign, list(found), by)
        if body.is_undone
        else settle_in_store(store, campaign, dict.fromkeys(found, settlement), no_try_runs=is_over)
    )
    return _answer(body, found, refused)


def _answer(body: SettleBody, found: Mapping[str, tuple[str, str]], refused: Mapping[str, str]) -> Answer:
    """Name the invites; *found* has reference and name by recipient."""
    missing = len(set(body.recipients)) - len(found)
    refusals = {found[each][1]: why for each, why in refused.items()}
    if missing:
        why = "was not settled, or a task has claimed it again since" if body.is_undone else "is not in doubt"
        refusals["one of them" if missing == 1 else f"{missing} of them, each"] = why
    return Answer([name for each, (_, name) in found.items() if each not in refused], refusals)
