"""A doubt that a user settles on the page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy.orm import Session

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.campaign.ledger.admin import LedgerAdmin
from airflow_provider_omnichat.campaign.ledger.audit import LedgerAudit
from airflow_provider_omnichat.campaign.ledger.interface import Settlement
from airflow_provider_omnichat.campaign.phone.identity import recipient_key
from airflow_provider_omnichat.hooks.databases import ledger_database
from airflow_provider_omnichat.plugins.invites.access import reference_of
from airflow_provider_omnichat.plugins.invites.metadata import locked_state
from airflow_provider_omnichat.plugins.invites.sending_tasks import STATES_AT_WORK, SendingTask
from airflow_provider_omnichat.tasks.places import has_state_store

# How long a worker may still send for a task that a user has marked as failed, or that Airflow gave up.
_LAST_WORD_MINUTES = 5


class NotSettledError(Exception):
    """Nothing was written; the text says why."""


class InviteBody(BaseModel):
    """Which invite in doubt is meant; ``recipient`` is the reference on the page."""

    # The audit log takes names from the address, then from the body: a body must not name another task.
    model_config = ConfigDict(extra="forbid")

    recipient: str = Field(pattern=r"^[0-9a-f]{32}$")


class SettleBody(InviteBody):
    """What a user found out about an invite in doubt, and how."""

    settled_as: Literal["sent", "not_sent"]
    why: Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=200)]


def settle(session: Session, task: SendingTask, body: SettleBody, by: str) -> None:
    """
    Record how an invite in doubt ended.

    :param by: the user's name.
    :raises NotSettledError: the task is at work, or the invite is not in doubt.
    """
    settlement = Settlement(was_sent=body.settled_as == "sent", by=by, why=body.why, at=datetime.now(UTC))
    conn_id = task.rendered_text("ledger_conn_id")
    try:
        refusal = (
            _in_table(session, task, conn_id, body.recipient, settlement)
            if conn_id
            else _in_store(session, task, body.recipient, settlement)
        )
    except OmnichatError as error:
        raise NotSettledError(str(error)) from None
    if refusal:
        raise NotSettledError(f"This invite {refusal}")


def _lock(session: Session, task: SendingTask) -> datetime | None:
    """Keep a task that is not at work from beginning until the commit; return when its last try ended."""
    state, end = locked_state(session, task)
    if state in STATES_AT_WORK:
        raise NotSettledError(f"The task is at work ({state}); settle its doubts when it has ended")
    return end


def _in_table(session: Session, task: SendingTask, conn_id: str, reference: str, settlement: Settlement) -> str | None:
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
    doubts = audit.doubts(campaign, task.identity)
    found = next(
        (row.recipient for row in doubts if reference_of(recipient_key(campaign, row.recipient)) == reference), None
    )
    if found is None:
        return "is not in doubt"
    try:
        _lock(session, task)  # not earlier: while the ledger is slow, the scheduler would wait for the task's row
        return admin.settle(campaign, {found: settlement}).get(found)
    finally:
        admin.close()


def _in_store(session: Session, task: SendingTask, reference: str, settlement: Settlement) -> str | None:
    if not has_state_store():
        return "is in no ledger: this Airflow has no task state store, and the task no ledger_conn_id"
    from airflow_provider_omnichat.campaign.ledger.task_state_doubts import doubts_in_store, settle_in_store
    from airflow_provider_omnichat.plugins.invites.state_store import ServerSideStore  # Airflow 3.3

    end = _lock(session, task)
    is_over = end is not None and settlement.at - end > timedelta(minutes=_LAST_WORD_MINUTES)
    store, campaign = ServerSideStore(session, task), task.progress.campaign
    for doubt in doubts_in_store(store, campaign):
        if reference_of(doubt.recipient) == reference:
            return settle_in_store(store, campaign, doubt.recipient, settlement, no_try_runs=is_over)
    return "is not in doubt"
