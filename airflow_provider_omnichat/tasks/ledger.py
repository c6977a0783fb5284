"""Which ledger a task uses, and the names of its campaign and its batch there."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_omnichat.api.privacy import scrub
from airflow_provider_omnichat.campaign.model.sentences import sentences
from airflow_provider_omnichat.hooks.supervisor import in_turn
from airflow_provider_omnichat.tasks.ended_tasks import ended_tasks

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_omnichat.campaign.ledger.interface import Ledger
    from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger


def task_identity(context: Context) -> str:
    """Return the name of the running task instance, without the try."""
    name = _task_name(context)
    return f"{name}/{context['ti'].map_index}" if is_mapped(context) else name


def is_mapped(context: Context) -> bool:
    """Return whether the task instance is one of a mapped task, or of a task in a mapped group."""
    map_index = context["ti"].map_index
    return map_index is not None and map_index >= 0


def _task_name(context: Context) -> str:
    ti = context["ti"]
    return f"{ti.dag_id}/{ti.run_id}/{ti.task_id}"


def campaign_name(context: Context, campaign: str | None, resend_key: str, ledger_conn_id: str | None) -> str:
    """Return the name within which a number is invited at most once; by default the task, which mapped tasks share."""
    if campaign and "#" in campaign:
        raise AirflowFailException(
            f"Nothing was sent. campaign={scrub(campaign)!r} has a # in it, which separates a resend_key; write the"
            " name without it"
        )
    if campaign and not ledger_conn_id:
        raise AirflowFailException(
            f"Nothing was sent. campaign={scrub(campaign)!r} needs ledger_conn_id: without a database, only this task"
            " instance remembers whom it has invited, and another run would invite the same people again"
        )
    return with_resend_key(campaign or _task_name(context), resend_key)


def with_resend_key(name: str, resend_key: str | None) -> str:
    """Return the name of what is sent once more on purpose."""
    return f"{name}#{resend_key}" if resend_key else name


def batch_name(identity: str, campaign: str | None, resend_key: str | None) -> str:
    """Return the name of a batch and its result rows; no other batch has it."""
    return with_resend_key(f"{identity}@{campaign}" if campaign else identity, resend_key)


def invite_ledger(operator: Any, context: Context, campaign: str) -> Ledger:
    """Return the ledger of a single invite."""
    from airflow_provider_omnichat.campaign.ledger.interface import NoLedger
    from airflow_provider_omnichat.campaign.ledger.task_state import StateStoreLedger

    if operator.ledger_conn_id:
        return sql_ledger(context, campaign, operator.ledger_conn_id, operator.ledger_table)
    store = context.get("task_state_store")
    if store is not None:
        return StateStoreLedger(store)
    operator.log.warning(
        "This Airflow has no task state store (it came with 3.3): it is not recorded whether the invite was sent, so a"
        " retry or a clear of this task sends nothing. With ledger_conn_id, it is recorded in a database."
    )
    return NoLedger()


def batch_ledger(operator: Any, context: Context, campaign: str, *, waits: bool) -> Callable[[], Ledger]:
    """Return what makes the ledger of a batch in the thread that uses it; fail if the task needs one and has none."""
    from airflow_provider_omnichat.campaign.ledger.interface import NoLedger
    from airflow_provider_omnichat.campaign.ledger.task_state_journal import StateStoreJournal

    if operator.ledger_conn_id:
        ledger = sql_ledger(context, campaign, operator.ledger_conn_id, operator.ledger_table)
        return lambda: ledger
    if operator.is_dry_run:
        return NoLedger
    store = context.get("task_state_store")
    if store is not None:
        in_turns = SimpleNamespace(get=in_turn(store.get), set=in_turn(store.set))
        return lambda: StateStoreJournal(in_turns, campaign)
    if operator.retries:
        raise AirflowFailException(
            "This Airflow has no task state store (it came with 3.3), so a retry would not know whom to send to."
            f" Give ledger_conn_id, or set retries=0 (now {operator.retries}). Nothing was sent."
        )
    if waits:
        raise AirflowFailException(
            "This Airflow has no task state store (it came with 3.3), so that after a wait for the send window"
            ' everybody would be invited again. Give ledger_conn_id, or SendWindow(..., on_closed="skip"). Nothing was'
            " sent."
        )
    operator.log.warning(
        "This Airflow has no task state store (it came with 3.3): if this task is cleared, it sends nothing, because"
        " it is not recorded whom it invited. With ledger_conn_id, it is recorded in a database."
    )
    return NoLedger


def sql_ledger(context: Context, campaign: str, conn_id: str, table: str) -> SqlLedger:
    """Return the ledger in a table; raise AirflowFailException for an invalid name of one."""
    from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
    from airflow_provider_omnichat.hooks.databases import ledger_database

    database = ledger_database(conn_id)
    try:
        return SqlLedger(database, campaign, task_identity(context), table, ended_tasks(context))
    except ValueError as error:  # the name stays invalid in the next try
        raise AirflowFailException(sentences("Nothing was sent", str(error))) from None
