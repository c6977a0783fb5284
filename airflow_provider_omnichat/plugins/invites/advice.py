"""What somebody who looks at a task should do now: the first line of the pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from airflow_provider_omnichat.plugins.invites.sending_tasks import SendingTask


class Advice(NamedTuple):
    """Sentences; *is_due* if somebody has to act."""

    sentences: list[str]
    is_due: bool


def advice_for(task: SendingTask, *, may_settle: bool) -> Advice:
    """Say what a task needs; the worst first."""
    progress, counts = task.progress, task.progress.counts
    doubts, held = counts.get("unknown", 0) - task.of_others, counts.get("held", 0)
    unsent = counts.get("not_sent", 0)
    if task.state == "deferred":
        at = f" at {progress.opens_at:%Y-%m-%d %H:%M} UTC" if progress.opens_at else ""
        return Advice([f"Nothing to do: {held:,} wait for their send window; the task goes on by itself{at}."], False)
    if task.is_at_work:
        return Advice(["Nothing to do while the task is at work."], False)
    said = ["The worker was killed or lost before it could say how the task ended."] if task.has_died else []
    if progress.stop_reason and not progress.rows:
        said.append(f"Nothing was sent: {progress.stop_reason.rstrip('.')}.")
    elif progress.stop_reason:
        said.append("Sending was stopped, see below: mend that first.")
    if doubts:
        said.append(f"{doubts:,} in doubt: {_SETTLE if may_settle else _ASK_TO_SETTLE}.")
    if task.of_others:
        said.append(f"{task.of_others:,} in doubt since another run: settle them there, see below.")
    due = [f"{unsent:,} {'was' if unsent == 1 else 'were'} not sent"] if unsent else []
    if task.left:
        due.append(f"{task.left:,} of {progress.total:,} were not reached")
    elif task.has_died and progress.total is None:
        due.append("how much of the list was not reached is not known")
    if due:
        end = "the next try, which Airflow begins by itself," if task.state == "up_for_retry" else "Clear"
        what = " and ".join(due)
        said.append(f"{what[:1].upper()}{what[1:]}: {end} sends only these.")
    if held:
        said.append(f"{held:,} held until their send window opens: Clear sends them then.")
    if not said:
        is_green = task.state in ("success", "skipped")
        said = [_NOTHING if is_green else _SETTLED if task.settled else _NOTHING_LEFT]
        return Advice(said, False)
    if task.problem:
        said.append(task.problem)
    return Advice(said, True)


def advice_for_all(tasks: Sequence[SendingTask]) -> Advice:
    """Say what some tasks of a run need."""
    ended = [task for task in tasks if not task.is_at_work]
    doubts = [count for task in ended if (count := task.progress.counts.get("unknown", 0))]
    unsent = sum(task.progress.counts.get("not_sent", 0) + task.left for task in ended)
    died = sum(task.has_died for task in ended)
    said = [f"The worker of {died:,} of the tasks was killed or lost."] if died else []
    if doubts:
        said.append(f"{sum(doubts):,} in doubt in {len(doubts):,} of the tasks below: open them to settle these.")
    if unsent:
        said.append(f"{unsent:,} were not sent or not reached: Clear sends only these.")
    if said:
        return Advice([*said, *sorted({task.problem for task in ended if task.problem})], True)
    return Advice(["Nothing to do while the tasks are at work." if len(ended) < len(tasks) else _NOTHING], False)


_SETTLE = "settle them below"
_ASK_TO_SETTLE = "a user who may edit this task has to settle them"
_NOTHING = "Nothing to do."
_NOTHING_LEFT = "Nothing is left to send; the task's log says why it is not green."
_SETTLED = "All doubts are settled, and nothing is left to send: Clear makes the task green without a second SMS."
