"""Whether other task instances have ended, according to Airflow."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

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
    asked: dict[str, float] = {}

    def has_ended(name: str) -> bool | None:
        # Only "no" is kept: who has ended may be cleared, and claim again.
        if monotonic() - asked.get(name, -_ASK_AGAIN_SECONDS) < _ASK_AGAIN_SECONDS:
            return False
        try:
            dag_id, run_id, task_id, *index = name.split("/")
            (at,) = map(int, index) if index else (None,)
            states = ask(dag_id=dag_id, task_ids=[task_id], run_ids=[run_id], map_index=at)
            state = states[run_id][task_id if at is None else f"{task_id}_{at}"]
        except Exception:  # no such task instance, a name that is not of one, or Airflow cannot be asked
            return None
        if state in _ENDED:
            return True
        asked[name] = monotonic()
        return False

    return has_ended
