"""A callback that invites the person on duty into a chat, once for each try of a task that failed."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import closing
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import BaseNotifier

from airflow_provider_omnichat.api.privacy import mask_number, scrub
from airflow_provider_omnichat.campaign.ledger.interface import Ledger, NoLedger
from airflow_provider_omnichat.campaign.ledger.sql_table import DEFAULT_TABLE
from airflow_provider_omnichat.campaign.model.arguments import seconds_of
from airflow_provider_omnichat.hooks.omnichat import OmnichatHook
from airflow_provider_omnichat.tasks.fields import Field, FieldsMixin, Kind, table, templated
from airflow_provider_omnichat.tasks.route_arguments import ROUTE_FIELDS, refuse_wrong_route, route_of

if TYPE_CHECKING:
    import jinja2
    from airflow.providers.common.compat.sdk import Context

_MOST_REMEMBERED = 10_000
_BEGUN: OrderedDict[str, None] = OrderedDict()
_LOCK = Lock()


class OmnichatInviteNotifier(FieldsMixin, BaseNotifier):
    """
    Invite a person by SMS about a task or DAG: for ``on_failure_callback``, other callbacks, and deadlines.

    A number gets at most one SMS for each try of a task instance, and one for a callback of the DAG itself; without a
    task, one for each run or deadline. This is remembered in the table of *ledger_conn_id*, else in the task state
    store (Airflow 3.3+, callbacks of tasks in the worker), else in this process alone: a callback that Airflow runs
    again in another process then sends again.

    It never raises: what goes wrong is an error in the log, with the number masked. An invite that may have been sent,
    or of which that cannot be found out, is not sent again.

    .. seealso:: ``docs/how-to/notify.md``

    See :class:`~airflow_provider_omnichat.operators.single.SendInviteOperator` for the other parameters.

    :param to: phone number, as the operators take it. (templated)
    :param message: the text; must contain *link_placeholder*. (templated)
    :param retry_budget: seconds within which an invite that was certainly not taken is tried again. Airflow waits for
        callbacks, so they should be few.
    """

    argument_fields: ClassVar = table(
        Field("to", Kind.VALUE),  # a whole number is one, too
        Field("message", Kind.TEXT),
        *ROUTE_FIELDS.values(),
        "omnichat_conn_id",
        "default_region",
        "ledger_conn_id",
        "ledger_table",
    )
    template_fields: Sequence[str] = templated(argument_fields)

    def __init__(
        self,
        *,
        to: str,
        message: str,
        link_placeholder: str = "<link>",
        application_key: str | None = None,
        integration_type: str | None = None,
        link: str | None = None,
        sender: str | None = None,
        shorten_links: bool = False,
        omnichat_conn_id: str = OmnichatHook.default_conn_name,
        default_region: str | None = None,
        ledger_conn_id: str | None = None,
        ledger_table: str = DEFAULT_TABLE,
        retry_budget: float = 10.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.to = to
        self.message = message
        self.link_placeholder = link_placeholder
        self.application_key = application_key
        self.integration_type = integration_type
        self.link = link
        self.sender = sender
        self.shorten_links = shorten_links
        self.omnichat_conn_id = omnichat_conn_id
        self.default_region = default_region
        self.ledger_conn_id = ledger_conn_id
        self.ledger_table = ledger_table
        self.refuse_non_texts()
        refuse_wrong_route(link, sender, shorten_links)
        self.retry_budget = seconds_of("retry_budget", retry_budget)

    def __call__(self, *args: Any) -> None:
        """Render and send; Airflow calls it with the context."""
        try:
            # Rendering replaces the templates, and one notifier may serve several tasks in one process.
            super(OmnichatInviteNotifier, copy.copy(self)).__call__(*args)
        except Exception as error:
            self._log_failure("a callback", error)

    def render_template_fields(self, context: Context, jinja_env: jinja2.Environment | None = None) -> None:
        """Fill in the templates; under ``dag.test()``, a DAG's own callback has neither *jinja_env* nor a real DAG."""
        if jinja_env is None and not hasattr(context.get("dag"), "get_template_env"):
            jinja_env = self.get_template_env()
        super().render_template_fields(context, jinja_env)

    async def async_notify(self, context: Context) -> None:
        """Send from the triggerer: Airflow 3.1+ does, for deadlines."""
        from asgiref.sync import sync_to_async

        # In a thread that Airflow knows: it looks connections up through the loop that waits here.
        await sync_to_async(self.notify)(context)

    def notify(self, context: Context) -> None:
        """Send, or log why not."""
        subject = "a callback"
        try:
            subject = _subject(context)
            self.refuse_missing_arguments()
            self._send(context, subject)
        except Exception as error:
            self._log_failure(subject, error)

    def _send(self, context: Context, subject: str) -> None:
        from airflow_provider_omnichat.campaign.engine.single import send_at_most_once

        hook = OmnichatHook(self.omnichat_conn_id, retry_budget=self.retry_budget)
        try:
            invite = hook.check_invite(self.to, self.message, self.default_region, **route_of(self))
            with closing(self._ledger(context, subject)) as ledger:
                if isinstance(ledger, NoLedger) and not _is_new_here(f"{subject} {invite.to}"):
                    self.log.info("Invite to %s about %s was begun before; not again", mask_number(invite.to), subject)
                    return
                sent = send_at_most_once(
                    invite, send=hook.get_conn().send_invite, ledger=ledger, campaign=f"notifier/{subject}"
                )
        finally:
            hook.close()
        said = "was sent before; not again" if sent.earlier else f"accepted: messageId {sent.answer.shown_id}"
        self.log.info("Invite to %s about %s %s", mask_number(invite.to), subject, said)

    def _ledger(self, context: Context, subject: str) -> Ledger:
        from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
        from airflow_provider_omnichat.campaign.ledger.task_state import StateStoreLedger
        from airflow_provider_omnichat.hooks.databases import ledger_database

        if self.ledger_conn_id is not None:
            return SqlLedger(ledger_database(self.ledger_conn_id), f"notifier/{subject}", subject, self.ledger_table)
        # Only the worker that ran the task can reach the store, and only its context has an exception. Contexts of the
        # DAG processor have a store as well, and asking it might break the processor.
        store = context.get("task_state_store") if "exception" in context else None
        return NoLedger() if store is None else StateStoreLedger(store)

    def _log_failure(self, subject: str, error: Exception) -> None:
        said = scrub(str(error), [str(self.to), str(self.message)])
        self.log.error("Invite about %s to %s: %s: %s", subject, mask_number(self.to), type(error).__name__, said)


def _subject(context: Context) -> str:
    ti = context.get("ti") or context.get("task_instance")
    if ti is not None:
        map_index = ti.map_index if ti.map_index is not None and ti.map_index >= 0 else None
        # The context of a DAG's own callback has a reason, and the task that failed last.
        whole = "whole run" if "reason" in context else None
        parts = [ti.dag_id, ti.run_id, whole, ti.task_id, map_index, f"try {ti.try_number}"]
    elif deadline := _value(context, "deadline", "id"):
        parts = ["deadline", deadline]
    else:
        dag = _value(context, "dag", "dag_id") or _value(context, "dag_run", "dag_id")
        parts = [dag, _value(context, "dag_run", "run_id") or context.get("run_id")]
    if None in parts[:2]:
        raise ValueError("nothing was sent: the context names neither a task instance, nor a run, nor a deadline")
    return "/".join(str(part) for part in parts if part is not None)


def _value(context: Context, name: str, attribute: str) -> Any:
    given = context.get(name)
    return given.get(attribute) if isinstance(given, Mapping) else getattr(given, attribute, None)


def _is_new_here(invite: str) -> bool:
    """Remember an invite that this process begins, and return whether it is new; the oldest are forgotten."""
    with _LOCK:
        if invite in _BEGUN:
            return False
        _BEGUN[invite] = None
        if len(_BEGUN) > _MOST_REMEMBERED:
            _BEGUN.popitem(last=False)
        return True
