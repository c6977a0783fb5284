"""Whether other task instances have ended, according to Airflow."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any

from airflow_provider_omnichat.hooks.supervisor import in_turn

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

# No worker has these, and no other try begins by itself.
_ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
_ASK_AGAIN_SECONDS = 5.0


def ended_tasks(context: Context) -> Callable[[str], bool | None]:
    """
    Return what tells whether a task instance has ended; None if Airflow does not say or does not know it.

    It takes the result of :func:`.ledger.task_identity`. Call this in the task's main thread.
    """
    if not hasattr(context["ti"], "get_task_states"):  # Airflow 2
        return lambda _: None
    ask = in_turn(context["ti"].get_task_states)
    kept: dict[str, tuple[float, bool | None]] = {}

    def has_ended(name: str) -> bool | None:
        asked_at, answer = kept.get(name, (-inf, None))
        if monotonic() - asked_at < _ASK_AGAIN_SECONDS:
            return answer
        answer = _has_ended(ask, name)
        if not answer:  # a "yes" is never kept: the task may be cleared, and claim again
            kept[name] = monotonic(), answer
        return answer

    return has_ended


def _has_ended(ask: Callable[..., Any], name: str) -> bool | None:
    try:
        dag_id, run_id, task_id, *index = name.split("/")
        (at,) = map(int, index) if index else (None,)
        states = ask(dag_id=dag_id, task_ids=[task_id], run_ids=[run_id], map_index=at)
        return states[run_id][task_id if at is None else f"{task_id}_{at}"] in _ENDED
    except Exception:  # no such task instance, a name that is not of one, or Airflow cannot be asked
        return None
