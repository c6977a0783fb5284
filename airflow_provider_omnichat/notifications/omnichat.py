"""A callback that invites whoever is on duty into a chat, once for each try of a task that failed."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import closing
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import BaseNotifier

from airflow_provider_omnichat.api.privacy import mask_number, scrub
from airflow_provider_omnichat.campaign.ledger.sql_statements import DEFAULT_TABLE
from airflow_provider_omnichat.hooks.omnichat import OmnichatHook
from airflow_provider_omnichat.tasks.arguments import seconds_of
from airflow_provider_omnichat.tasks.required_arguments import RequiredArgumentsMixin
from airflow_provider_omnichat.tasks.templates import TemplatesMixin

if TYPE_CHECKING:
    import jinja2
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_omnichat.campaign.ledger.interface import Ledger

_MOST_REMEMBERED = 10_000


class OmnichatInviteNotifier(RequiredArgumentsMixin, TemplatesMixin, BaseNotifier):
    """
    Invite a person by SMS about a task or DAG: for ``on_failure_callback``, other callbacks, and deadlines.

    A number gets at most one SMS for each task instance and try, and one for a callback of the DAG itself; for each
    run, or each deadline, where there is no task. What remembers it is the table of *ledger_conn_id*, else the task
    state store (Airflow 3.3+, callbacks of tasks in the worker), else this process alone: a callback that Airflow runs
    again in another process then sends again.

    It never raises: what goes wrong is an error in the log, with the number masked. What may have been sent is not sent
    again, and so is what cannot be looked up.

    .. seealso:: ``docs/how-to/notify.md``

    :param to: phone number, as the operators take it. (templated)
    :param message: the text; must contain *link_placeholder*. (templated)
    :param link_placeholder: the piece of *message* in whose place the server puts the invite's link. (templated)
    :param application_key: the OMNI application; that of the connection if None. (templated)
    :param integration_type: the channel that the invite leads to; that of the connection if None. (templated)
    :param omnichat_conn_id: the ``omnichat`` connection. (templated)
    :param default_region: the country of numbers without a country code, as two letters: ``CH``. (templated)
    :param ledger_conn_id: a database connection; the claim is written to a table in it, made if missing. (templated)
    :param ledger_table: the name of that table, with a schema if need be. (templated)
    :param retry_budget: seconds within which an invite that was certainly not taken is tried again. Airflow waits for
        callbacks, so they should be few.
    :param kwargs: of Airflow's ``BaseNotifier``.
    """

    template_fields: Sequence[str] = (
        "to",
        "message",
        "link_placeholder",
        "application_key",
        "integration_type",
        "omnichat_conn_id",
        "default_region",
        "ledger_conn_id",
        "ledger_table",
    )
    not_texts: ClassVar = frozenset({"to"})  # a whole number is one, too

    def __init__(
        self,
        *,
        to: str,
        message: str,
        link_placeholder: str = "<link>",
        application_key: str | None = None,
        integration_type: str | None = None,
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
        self.omnichat_conn_id = omnichat_conn_id
        self.default_region = default_region
        self.ledger_conn_id = ledger_conn_id
        self.ledger_table = ledger_table
        self.retry_budget = seconds_of("retry_budget", retry_budget)

    def __call__(self, *args: Any) -> None:
        """Render and send; Airflow calls it with the context."""
        try:
            # Rendering replaces the templates, and one notifier may serve several tasks in one process.
            super(OmnichatInviteNotifier, copy.copy(self)).__call__(*args)
        except Exception as error:
            self._say_failed("a callback", error)

    def render_template_fields(self, context: Context, jinja_env: jinja2.Environment | None = None) -> None:
        """
        Fill in the templates.

        :param context: of the callback.
        :param jinja_env: made for the DAG if None; under ``dag.test()``, a DAG's own callback is given one without.
        """
        if jinja_env is None and not hasattr(context.get("dag"), "get_template_env"):
            jinja_env = self.get_template_env()
        super().render_template_fields(context, jinja_env)

    async def async_notify(self, context: Context) -> None:
        """
        Send, in the triggerer; of Airflow 3.1+, for deadlines.

        :param context: of the callback.
        """
        from asgiref.sync import sync_to_async

        # In a thread that Airflow knows of: it looks connections up through the loop that waits here.
        await sync_to_async(self.notify)(context)

    def notify(self, context: Context) -> None:
        """
        Send, or say in the log why not.

        :param context: of the callback.
        """
        subject = "a callback"
        try:
            subject = _subject(context)
            self.refuse_missing_arguments()
            self._send(context, subject)
        except Exception as error:
            self._say_failed(subject, error)

    def _send(self, context: Context, subject: str) -> None:
        from airflow_provider_omnichat.campaign.engine.single import send_at_most_once
        from airflow_provider_omnichat.campaign.ledger.interface import NoLedger

        hook = OmnichatHook(self.omnichat_conn_id, retry_budget=self.retry_budget)
        try:
            invite = hook.check_invite(
                self.to,
                self.message,
                self.link_placeholder,
                self.application_key,
                self.integration_type,
                self.default_region,
            )
            with closing(self._ledger(context, subject)) as ledger:
                if isinstance(ledger, NoLedger) and not _SEEN.add(f"{subject} {invite.to}"):
                    self.log.info("Invite to %s about %s was begun before; not again", mask_number(invite.to), subject)
                    return
                send = hook.get_conn().send_invite
                sent = send_at_most_once(invite, send=send, ledger=ledger, campaign=f"notifier/{subject}")
        finally:
            hook.close()
        said = "was sent before; not again" if sent.earlier else f"accepted: messageId {sent.answer.shown_id}"
        self.log.info("Invite to %s about %s %s", mask_number(invite.to), subject, said)

    def _ledger(self, context: Context, subject: str) -> Ledger:
        from airflow_provider_omnichat.campaign.ledger.interface import NoLedger
        from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
        from airflow_provider_omnichat.campaign.ledger.task_state import StateStoreLedger
        from airflow_provider_omnichat.hooks.ledger_database import ledger_database

        if self.ledger_conn_id is not None:
            return SqlLedger(ledger_database(self.ledger_conn_id), f"notifier/{subject}", subject, self.ledger_table)
        # Only the worker that ran the task can reach the store, and only there Airflow says how the task ended.
        # Contexts that the DAG processor makes have a store as well, and to ask it might break the processor.
        store = context.get("task_state_store") if "exception" in context else None
        return NoLedger() if store is None else StateStoreLedger(store)

    def _say_failed(self, subject: str, error: Exception) -> None:
        said = scrub(str(error), [str(self.to), str(self.message)])
        self.log.error("Invite about %s to %s: %s: %s", subject, mask_number(self.to), type(error).__name__, said)


def _subject(context: Context) -> str:
    """Name what is told: a task instance and its try, a deadline, or a run."""
    ti = context.get("ti") or context.get("task_instance")
    if ti is not None:
        map_index = ti.map_index if ti.map_index is not None and ti.map_index >= 0 else None
        # A DAG's own callback, which has a reason, is given the task that failed last.
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
    """Give a value of an object of the context; in the triggerer it is a dict."""
    given = context.get(name)
    return given.get(attribute) if isinstance(given, Mapping) else getattr(given, attribute, None)


class _Seen:
    """What this process has told whom; the oldest is forgotten."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._lock = Lock()

    def add(self, what: str) -> bool:
        """Remember it, and tell whether it is new."""
        with self._lock:
            if what in self._seen:
                return False
            self._seen[what] = None
            if len(self._seen) > _MOST_REMEMBERED:
                self._seen.popitem(last=False)
            return True


_SEEN = _Seen()
