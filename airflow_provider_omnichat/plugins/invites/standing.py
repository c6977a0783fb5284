"""
How tasks stand now: what they pushed, corrected by what their ledger has since.

A task pushes its progress while it sends. What it could not say, because its worker was killed, and what was settled
later is in its ledger, so that all pages say the same about it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Any

from sqlalchemy.orm import Session

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.api.reasons import ReasonCode
from airflow_provider_omnichat.campaign.ledger.audit import CLAIMED, LedgerAudit, Standing
from airflow_provider_omnichat.campaign.ledger.task_state_doubts import standing_in_store
from airflow_provider_omnichat.campaign.sql.values import stored_name
from airflow_provider_omnichat.hooks.databases import ledger_database
from airflow_provider_omnichat.plugins.invites.metadata import with_rendered
from airflow_provider_omnichat.plugins.invites.sending_tasks import ReasonCount, SendingTask
from airflow_provider_omnichat.plugins.invites.state_store import ServerSideStore
from airflow_provider_omnichat.tasks.places import has_state_store

_Standings = Mapping[str, Mapping[str, Standing]]  # by campaign and owner, as ledgers name them
_MOST_ASKED = 200
# A ledger has no index by campaign: a page that renews itself must not read all of it each time.
_RECENT_SECONDS = 15
_recent: dict[Any, tuple[float, _Standings]] = {}
_CANNOT_BE_READ = "What is shown is what the task pushed last: "
_OF_OTHERS = ReasonCode.IN_DOUBT_SINCE_EARLIER_RUN.value


def as_they_stand(session: Session, tasks: Sequence[SendingTask]) -> list[SendingTask]:
    """Return tasks with the outcomes that their ledgers have now; one whose ledger cannot be read says why."""
    # Others do not differ from what was pushed.
    due = [task for task in tasks if task.has_died or (not task.is_at_work and task.progress.counts.get("unknown"))]
    if not due:
        return list(tasks)
    found: dict[str, SendingTask] = {}
    in_tables: dict[tuple[str, str], list[SendingTask]] = defaultdict(list)
    for task in with_rendered(session, due[:_MOST_ASKED]):
        conn_id = task.rendered_text("ledger_conn_id")
        if conn_id:
            in_tables[conn_id, task.ledger_table].append(task)
        elif has_state_store():
            found |= _asked([task], partial(_in_store, session, task))
    session.commit()  # a slow ledger must not keep a connection that all of Airflow's API needs
    for (conn_id, table), owners in in_tables.items():
        campaigns = frozenset(task.progress.campaign for task in owners)
        ask = partial(_in_table if len(tasks) == 1 else _recently_in_table, conn_id, table, campaigns)
        found |= _asked(owners, ask)
    return [found.get(task.identity, task) for task in tasks]


def _asked(tasks: Sequence[SendingTask], ask: Callable[[], _Standings]) -> dict[str, SendingTask]:
    """Return tasks by their identity; *ask* returns what their ledger has."""
    try:
        found = ask()
    except OmnichatError as error:
        problem = str(error)
    except Exception as error:  # no such connection or table, or a provider that the API server lacks
        problem = f"Airflow's API server cannot reach the ledger ({type(error).__name__})"
    else:
        return {task.identity: _corrected(task, found) for task in tasks}
    return {task.identity: replace(task, problem=f"{_CANNOT_BE_READ}{problem}.") for task in tasks}


def _in_table(conn_id: str, table: str, campaigns: frozenset[str]) -> _Standings:
    return LedgerAudit(ledger_database(conn_id), table).standings(campaigns)


def _recently_in_table(*which: Any) -> _Standings:
    known = _recent.get(which)
    if known is None or monotonic() - known[0] > _RECENT_SECONDS:
        if len(_recent) >= _MOST_ASKED:
            _recent.clear()
        known = _recent[which] = monotonic(), _in_table(*which)
    return known[1]


def forget_recent() -> None:
    """Ask ledgers again: something was settled."""
    _recent.clear()


def _in_store(session: Session, task: SendingTask) -> _Standings:
    standing = standing_in_store(ServerSideStore(session, task), task.progress.campaign).standing
    return {stored_name(task.progress.campaign): {stored_name(task.identity): standing}}


def _corrected(task: SendingTask, standings: _Standings) -> SendingTask:
    """Correct a task by what its ledger has of its campaign."""
    own, found = stored_name(task.identity), standings.get(stored_name(task.progress.campaign), {})
    standing = found.get(own, Standing.empty())
    counts = Counter(task.progress.counts)
    in_doubt = standing.counts["unknown"] + standing.counts[CLAIMED]
    others = {name: each for name, each in found.items() if name != own and each.doubts}
    of_others = sum(each.count for each in task.progress.reasons if each.code == _OF_OTHERS)
    still = min(of_others, sum(each.doubts.total() for each in others.values()))
    lost = min(of_others - still, sum(each.settled["not_sent"] for name, each in found.items() if name != own))
    if task.has_died:
        for outcome in ("accepted", "rejected", "not_sent"):
            counts[outcome] = standing.counts[outcome]
        counts["held"] = max(counts["held"], standing.counts["held"])
        # Only those over the cap are in the ledger.
        capped = sum(each.count for each in task.progress.reasons if each.code == ReasonCode.FREQUENCY_CAP)
        counts["suppressed"] += max(standing.counts["suppressed"] - capped, 0)
        counts["unknown"] = in_doubt + still
    else:
        # Those settled before the last try ended are in its counts; the others are still in doubt there.
        settled = min(max(counts["unknown"] - of_others - in_doubt, 0), standing.settled.total())
        not_sent = min(settled, standing.settled["not_sent"])
        counts.update({"unknown": still - of_others - settled, "not_sent": not_sent, "accepted": settled - not_sent})
    counts.update({"not_sent": lost, "duplicate": of_others - still - lost})
    counts = +counts
    change = {
        "counts": {**dict.fromkeys(task.progress.counts, 0), **counts},
        "rows": counts.total(),
        "reasons": _reasons(task, counts["unknown"] - still, still, standing),
    }
    return replace(
        task,
        progress=task.progress.model_copy(update=change),
        settled=dict(standing.settled),
        of_others=still,
        elsewhere={name: each.doubts.total() for name, each in others.items()} if still else {},
    )


def _reasons(task: SendingTask, doubts: int, of_others: int, standing: Standing) -> list[ReasonCount]:
    """Return the task's reasons, those of its own doubts as the ledger has them."""
    told, own, others = Counter[str](), [], []
    for each in task.progress.reasons:
        if each.code == _OF_OTHERS:
            others += [each.model_copy(update={"count": of_others})] if of_others else []
        elif each.outcome == "unknown":
            told[each.code or ""] += each.count
            own.append(each)
        else:
            others.append(each)
    if told == standing.doubts or doubts != standing.doubts.total():
        return [*own, *others]
    known = [
        ReasonCount(outcome="unknown", code=code or "claim_never_ended", count=count)
        for code, count in standing.doubts.most_common()
    ]
    return [*known, *others]
