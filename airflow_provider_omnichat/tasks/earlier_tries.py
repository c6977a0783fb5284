"""What a task instance knows of its earlier tries; if they may have sent and left no record, it sends nothing."""

from __future__ import annotations

from contextlib import closing, suppress
from numbers import Integral
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_omnichat.api.privacy import scrub
from airflow_provider_omnichat.campaign.ledger.interface import LedgerError
from airflow_provider_omnichat.campaign.ledger.task_state import CheckedStore
from airflow_provider_omnichat.tasks.fields import FieldsMixin
from airflow_provider_omnichat.tasks.ledger import is_mapped, sql_ledger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

BEGUN_KEY = "omnichat:begun"
"""In the task state store: that a try has begun, and then the campaign and the ledger that it used."""

STATE_STORE = "task state store"
"""The ledger of a task without *ledger_conn_id*, in that note."""


class EarlierTriesMixin(FieldsMixin):
    """Keeps a task from sending if it could not find what its earlier tries have sent."""

    _resend_template: Any = None

    def _do_render_template_fields(self, parent: Any, *args: Any, **kwargs: Any) -> None:
        if parent is self:
            self._resend_template = self._resend_template or getattr(self, "resend_key", None)
            # Before anything can fail: a later try that finds no note knows that the store was emptied or not there.
            with suppress(Exception):  # `airflow tasks render` has no store; a task meets the same failure again
                context = kwargs.get("context") or args[1]
                store = _store_of(context)
                if store is not None and context["ti"].try_number <= 1 and store.get(BEGUN_KEY) is None:
                    store.set(BEGUN_KEY, {})
        super()._do_render_template_fields(parent, *args, **kwargs)

    def has_lasting_resend_key(self) -> bool:
        """Return whether only a person changes it: it is written in the DAG file, or made of Variables and params."""
        if (self._given or {}).get("resend_key") or not isinstance(self._resend_template, str | Integral | None):
            return False
        from jinja2 import Environment, meta

        parsed = Environment().parse(str(self._resend_template or ""))  # noqa: S701 - renders nothing
        return meta.find_undeclared_variables(parsed) <= {"var", "params"}

    def agree_with_earlier_tries(self, context: Context, campaign: str, *, is_resumed: bool = False) -> None:
        """Fail unless what earlier tries or other mapped tasks have sent will be found; note what this one uses."""
        operator: Any = self
        if is_mapped(context) and not operator.ledger_conn_id:
            raise AirflowFailException(_MAPPED)
        ti, store = context["ti"], _store_of(context)
        begun = store.get(BEGUN_KEY) if store is not None else None
        if not isinstance(begun, dict | None):
            raise LedgerError(f"What the task state store has of {BEGUN_KEY} cannot be read; nothing was sent")
        if not begun and (is_resumed or (ti.try_number > 1 and begun is None)):
            begun = {"campaign": _campaign_before(operator, context, campaign, is_resumed)}
        ledger = f"{operator.ledger_conn_id}/{operator.ledger_table}" if operator.ledger_conn_id else STATE_STORE
        now = {"campaign": campaign, "ledger": ledger, "max_tries": getattr(ti, "max_tries", None)}
        before = {**now, "max_tries": None, **(begun or {})}
        if (before["campaign"], before["ledger"]) != (campaign, ledger):
            _refuse_unless_meant(operator, before, now)
        if store is not None and begun != now:
            store.set_and_see(BEGUN_KEY, now)


def _store_of(context: Context) -> CheckedStore | None:
    store = context.get("task_state_store")
    return None if store is None else CheckedStore(store)


def _campaign_before(operator: Any, context: Context, campaign: str, is_resumed: bool) -> str:
    """Return the campaign of earlier tries that left no note, or this one's if they sent in no other."""
    ti, has_store = context["ti"], context.get("task_state_store") is not None
    if operator.ledger_conn_id:
        # Its rows say who claimed them, which is better than a note: a try without claims sent nothing.
        with closing(sql_ledger(context, campaign, operator.ledger_conn_id, operator.ledger_table)) as ledger:
            return ledger.other_campaign() or campaign
    if not is_resumed:
        # Airflow keeps the store over retries, so a try before this one never began: its worker was lost, or the store
        # was away. Clear counts in the run, unless it shall not touch it, and makes max_tries larger in any case.
        is_retry = ti.try_number - 1 <= ti.max_tries == operator.retries if has_store else False
        if is_retry and getattr(context["dag_run"], "clear_number", None) == 0:
            return campaign
        # An earlier try may have had any other text as well, but never the number of this try.
        if operator.resend_key == f"try-{ti.try_number}" and operator.has_lasting_resend_key():
            return campaign
    raise AirflowFailException(
        f"Nothing was sent. This is try {ti.try_number} of a task that ran before, and there is no record of whom it"
        f" invited: {_EMPTIED if has_store else _NO_STORE}. To send to everybody once more, set"
        f' resend_key="try-{ti.try_number + 1}", which names the next try, and clear the task; for new people,'
        " start a new run. With ledger_conn_id from the first try on, a database keeps the record; if it is given only"
        " now, everybody is sent to once more"
    )


def _refuse_unless_meant(operator: Any, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Accept what a person changed in order to send again: a resend key, and with a new one also the campaign."""
    key, old, new = operator.resend_key, before["campaign"], now["campaign"]
    name = new.removesuffix(f"#{key}") if key else new
    is_same_name = before["ledger"] == now["ledger"] and f"{old}#".startswith(f"{name}#")
    if not is_same_name and (not key or old.endswith(f"#{key}")):
        why = (
            f"An earlier try of this task used the campaign {scrub(old)!r} in {before['ledger']}, this one uses"
            f" {scrub(new)!r} in {now['ledger']}, where there is no record of whom that try invited. Build the name"
            " from what stays the same over tries, such as {{ ds }} or {{ run_id }}. To send again under another name,"
            " set a new resend_key as well, and clear the task"
        )
    elif not operator.has_lasting_resend_key():
        why = (
            "resend_key differs from that of an earlier try of this task, and comes from a template or task that may"
            " change by itself. To send again on purpose, write it in the DAG file, or take it from a Variable:"
            " {{ var.value.resend_key }}"
        )
    elif before["max_tries"] == now["max_tries"] is not None:
        why = "resend_key has changed between two retries. If that is on purpose, clear the task"
    else:
        return
    raise AirflowFailException(f"Nothing was sent. {why}")


_EMPTIED = (
    'the task state store was emptied. On Airflow 3.4+, clearing a task does that, unless "Keep task state and resume"'
    " is ticked, or keep_task_state is true in the API"
)
_NO_STORE = "this Airflow has no task state store (it came with 3.3)"
_MAPPED = (
    "Nothing was sent. This is a mapped task, and mapped tasks do not know whom the others invite: a person in two of"
    " their lists would get two SMS. Give ledger_conn_id, a database that they share (SQLite will do on one machine),"
    " or send the whole list with one SendInviteBatchOperator"
)
