"""Which ledger a task uses, and under which name its invites stand there."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_omnichat.api.privacy import scrub
from airflow_provider_omnichat.campaign.model.sentences import sentences
from airflow_provider_omnichat.hooks.supervisor import in_turn

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_omnichat.campaign.checks.send_window import SendWindow
    from airflow_provider_omnichat.campaign.ledger.interface import Ledger
    from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger


class KeepsLedger(Protocol):
    """What is used of an operator."""

    ledger_conn_id: str | None
    ledger_table: str
    retries: int | None

    @property
    def log(self) -> Any:
        """Of the task; its type differs between the generations of Airflow."""


class KeepsBatchLedger(KeepsLedger, Protocol):
    """What is used of an operator that sends a list."""

    send_window: SendWindow | None
    on_closed: Literal["defer", "skip"]
    is_dry_run: bool


def task_identity(context: Context) -> str:
    """
    Name the running task instance, without the try.

    :param context: of the task.
    """
    name = _task_name(context)
    return f"{name}/{context['ti'].map_index}" if is_mapped(context) else name


def is_mapped(context: Context) -> bool:
    """Tell whether the task is one of those that a mapped task, or a mapped group, became."""
    map_index = context["ti"].map_index
    return map_index is not None and map_index >= 0


def _task_name(context: Context) -> str:
    ti = context["ti"]
    return f"{ti.dag_id}/{ti.run_id}/{ti.task_id}"


def campaign_name(context: Context, campaign: str | None, resend_key: str, ledger_conn_id: str | None) -> str:
    """
    Return the name within which a number is invited at most once.

    :param context: of the task.
    :param campaign: the user's name for it; the task of this run if None, which mapped tasks share.
    :param resend_key: the user's word for sending on purpose once more; empty for none.
    :param ledger_conn_id: of the ledger's database; None for the task state store.
    :raises AirflowFailException: when a campaign is named that nobody would remember, or that could be another one with
        a resend key.
    """
    if campaign and "#" in campaign:
        raise AirflowFailException(
            f"Nothing was sent. campaign={scrub(campaign)!r} has a # in it, which stands before a resend_key; write the"
            " name without it"
        )
    if campaign and not ledger_conn_id:
        raise AirflowFailException(
            f"Nothing was sent. campaign={scrub(campaign)!r} needs ledger_conn_id: without a database, only this task"
            " instance remembers whom it has invited, and another run would invite the same people again"
        )
    return with_resend_key(campaign or _task_name(context), resend_key)


def with_resend_key(name: str, resend_key: str | None) -> str:
    """
    Set apart what is sent once more on purpose.

    :param name: of a campaign, or of a batch.
    :param resend_key: the user's word for it; empty for none.
    """
    return f"{name}#{resend_key}" if resend_key else name


def batch_name(identity: str, campaign: str | None, resend_key: str | None) -> str:
    """Name a batch and its result rows, so that no other batch takes them for its own."""
    return with_resend_key(f"{identity}@{campaign}" if campaign else identity, resend_key)


def invite_ledger(operator: KeepsLedger, context: Context, campaign: str) -> Ledger:
    """
    Give the ledger of a single invite.

    :param operator: with ``ledger_conn_id`` and ``ledger_table``.
    :param context: of the task.
    :param campaign: the campaign's name.
    """
    from airflow_provider_omnichat.campaign.ledger.interface import NoLedger
    from airflow_provider_omnichat.campaign.ledger.task_state import StateStoreLedger

    if operator.ledger_conn_id:
        return sql_ledger(operator, operator.ledger_conn_id, context, campaign)
    store = context.get("task_state_store")
    if store is not None:
        return StateStoreLedger(store)
    operator.log.warning(
        "This Airflow has no task state store (it came with 3.3): nobody remembers whether the invite was sent, so a"
        " retry or a clear of this task sends nothing. With ledger_conn_id, a database remembers."
    )
    return NoLedger()


def batch_ledger(operator: KeepsBatchLedger, context: Context, campaign: str) -> Callable[[], Ledger]:
    """
    Give what makes the ledger of a batch, in the thread that will use it.

    :param operator: whose arguments say which.
    :param context: of the task.
    :param campaign: the campaign's name.
    :raises AirflowFailException: the task has retries or may be deferred, and there is nothing to remember by whom it
        has invited.
    """
    from airflow_provider_omnichat.campaign.ledger.interface import NoLedger
    from airflow_provider_omnichat.campaign.ledger.task_state_journal import StateStoreJournal

    if operator.ledger_conn_id:
        ledger = sql_ledger(operator, operator.ledger_conn_id, context, campaign)
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
    if operator.send_window is not None and operator.on_closed == "defer":
        raise AirflowFailException(
            "This Airflow has no task state store (it came with 3.3), so that after a wait for the send window"
            ' everybody would be invited again. Give ledger_conn_id, or on_closed="skip". Nothing was sent.'
        )
    operator.log.warning(
        "This Airflow has no task state store (it came with 3.3): if this task is cleared, it sends nothing, because"
        " nobody remembers whom it has invited. With ledger_conn_id, a database remembers."
    )
    return NoLedger


def sql_ledger(operator: KeepsLedger, conn_id: str, context: Context, campaign: str) -> SqlLedger:
    """
    Give the ledger in a database.

    :param operator: with ``ledger_table``.
    :param conn_id: of the database.
    :param context: of the task.
    :param campaign: the campaign's name.
    :raises AirflowFailException: ``ledger_table`` is not the name of a table.
    """
    from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
    from airflow_provider_omnichat.hooks.ledger_database import ledger_database

    database = ledger_database(conn_id)
    try:
        return SqlLedger(database, campaign, task_identity(context), operator.ledger_table)
    except ValueError as error:  # the table's name is none, and stays so
        raise AirflowFailException(sentences("Nothing was sent", str(error))) from None
