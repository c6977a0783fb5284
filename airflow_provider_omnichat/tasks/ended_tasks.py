"""Whether other task instances have ended, according to Airflow."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from airflow_provider_omnichat.hooks.supervisor import in_turn

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

# No worker has these, and no other try begins by itself.
_ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
_ASK_AGAIN_SECONDS = 5.0


class TaskName(NamedTuple):
    """A task instance, whatever its try."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    @classmethod
    def of(cls, identity: str) -> Self | None:
        """Read the result of :func:`.ledger.task_identity`; None if it is not one, as when a table has cut it."""
        try:
            dag_id, run_id, task_id, *index = identity.split("/")
            (map_index,) = map(int, index) if index else (-1,)
        except ValueError:
            return None
        return cls(dag_id, run_id, task_id, map_index)


def ended_tasks(context: Context) -> Callable[[str], bool | None]:
    """Return what tells, by identity, whether a task has ended; None if Airflow does not know. For the main thread."""
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
    task = TaskName.of(name)
    if task is None:
        return None
    at = None if task.map_index < 0 else task.map_index
    try:
        states = ask(dag_id=task.dag_id, task_ids=[task.task_id], run_ids=[task.run_id], map_index=at)
        return states[task.run_id][task.task_id if at is None else f"{task.task_id}_{at}"] in _ENDED
    except Exception:  # no such task instance, or Airflow cannot be asked
        return None
