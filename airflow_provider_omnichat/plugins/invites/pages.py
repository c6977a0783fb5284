"""The pages: what is known about tasks, in templates that escape every value."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from sqlalchemy.orm import Session

from airflow_provider_omnichat.api.privacy import shown_address
from airflow_provider_omnichat.campaign.ledger.retake import described
from airflow_provider_omnichat.campaign.ledger.settle import SHORTEST_WHY
from airflow_provider_omnichat.campaign.model.pages import Page, PageError
from airflow_provider_omnichat.campaign.model.place import PlaceError
from airflow_provider_omnichat.plugins.invites import access, charts, outcomes
from airflow_provider_omnichat.plugins.invites.advice import advice_for, advice_for_all
from airflow_provider_omnichat.plugins.invites.campaigns import CampaignsWanted, chosen_campaigns
from airflow_provider_omnichat.plugins.invites.doubts import doubts_of
from airflow_provider_omnichat.plugins.invites.metadata import MOST_TASKS
from airflow_provider_omnichat.plugins.invites.rows import RowsWanted, number_shower
from airflow_provider_omnichat.plugins.invites.sending_tasks import STATES_AT_WORK, SendingTask, row_place
from airflow_provider_omnichat.plugins.invites.settled import settled_of

_MOST_INSTANCES = 200
_OWN_OPERATOR = re.compile("Invite|Omnichat", re.IGNORECASE)
_MOST_LINES = 10
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]+")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        label=outcomes.label,
        outcome_bar=charts.outcome_bar,
        rate_chart=charts.rate_chart,
        sparkline=charts.sparkline,
        shares=outcomes.shares,
        described=described,
        task_address=_task_address,
        tab_address=_tab_address,
        quote=lambda text: quote(text, safe=""),
    )
    environment.filters.update(moment=_moment, clock=_clock, thousands=_thousands, duration=charts.duration)
    return environment


def _render(template: str, tasks: Sequence[SendingTask] = (), **values: Any) -> HTMLResponse:
    headers = _headers(tasks, template.partition("_")[0].partition(".")[0], values.get("is_at_work"))
    values |= {"tasks": tasks, "is_at_work": headers["X-At-Work"] == "yes", "state_now": headers["X-State"]}
    return HTMLResponse(_environment().get_template(template).render(values), headers=headers)


def _headers(tasks: Sequence[SendingTask], page: str, is_at_work: bool | None = None) -> dict[str, str]:
    """Say what a page needs to renew itself: often while a task is at work, wholly when its state has changed."""
    if is_at_work is None:
        is_at_work = any(task.is_at_work for task in tasks)
    states = [(_own_address(each), each.state, each.try_number, each.progress.try_number) for each in tasks]
    ended = [None if each.is_at_work else each.progress.at for each in tasks]
    state = blake2b(repr((page, states, ended)).encode(), digest_size=8).hexdigest()
    return {"X-At-Work": "yes" if is_at_work else "no", "X-State": state}


def state_only(tasks: Sequence[SendingTask], page: str) -> HTMLResponse:
    """Answer a page that asks whether anything has changed."""
    return HTMLResponse(headers=_headers(tasks, page))


def nothing_sent(what: str, states: Collection[tuple[str | None, str]]) -> HTMLResponse:
    """
    Show that a task or a run has sent nothing, or nothing yet.

    :param states: state and operator of each of its instances.
    """
    is_at_work = any(state is None or state in STATES_AT_WORK for state, _ in states)
    failed = any(state in ("failed", "up_for_retry") and _OWN_OPERATOR.search(operator) for state, operator in states)
    if failed and not is_at_work:
        text = f"A sending task of this {what}" if what == "run" else "This task"
        text += " ended before it could say what it sent; its log says why. A further try sends nobody a second SMS."
    else:
        text = f"This {what} has sent no invites{' yet' if is_at_work else ''}."
    return _render("nothing.html", text=text, is_at_work=is_at_work)


def unreadable(_: object, error: Exception) -> HTMLResponse:
    """Show why there is nothing to show."""
    return _render("nothing.html", text=f"{str(error).rstrip('.')}.")


def one_task(
    session: Session, task: SendingTask, wanted: RowsWanted, part: str, *, may_settle: bool, user: Any
) -> HTMLResponse:
    """
    Show one task instance.

    :param wanted: which of its rows.
    :param part: ``live`` for the piece of the page that changes while the task is at work; empty for all.
    :param may_settle: whether the user may settle doubts.
    """
    summary: dict[str, Any] = {
        "tasks": [task],
        "task": task,
        "progress": task.progress,
        "found": outcomes.shares(task.counts_of_list),
        "rate": _rate(task),
        "seconds_left": _seconds_left(task),
        "address": _own_address(task),
        "advice": advice_for(task, may_settle=may_settle),
    }
    if part == "live":
        return _render("task_live.html", **summary)
    settled = settled_of(session, task, row_place(task))
    place = settled.place
    page, problem, can_list = Page([], None), "", True
    try:
        page = place.page(wanted.query())
    except PageError as error:
        problem, can_list = str(error), not isinstance(error, PlaceError)
    may_doubt = task.progress.counts.get("unknown") or not task.is_at_work
    return _render(
        "task.html",
        **summary,
        reasons=outcomes.summed_reasons([task]),
        wanted=wanted,
        page=page,
        problem=problem,
        place=shown_address(place.location) if place.location else "",
        lists=place.lists if can_list else (),
        can_list=can_list,
        sorts=place.sorts,
        doubts=doubts_of(session, task, place, wanted.doubts) if may_doubt else None,
        settled=settled.rows,
        may_settle=may_settle,
        can_settle=may_settle and not task.is_at_work,
        in_table=bool(task.rendered_text("ledger_conn_id")),
        shown_number=number_shower(),
        token=access.write_token(user, task.dag_id) if may_settle else "",
        shortest_why=SHORTEST_WHY,
    )


def many_tasks(tasks: Sequence[SendingTask], part: str) -> HTMLResponse:
    """Show several task instances of a run: their sum, and each; see :func:`one_task` for *part*."""
    counts = outcomes.summed_counts(task.counts_of_list for task in tasks)
    return _render(
        "many_live.html" if part == "live" else "many.html",
        tasks=tasks,
        shown=tasks[:_MOST_INSTANCES],
        total=len(tasks),
        most_tasks=MOST_TASKS,
        found=outcomes.shares(counts),
        rows=sum(task.progress.rows for task in tasks),
        reasons=outcomes.summed_reasons(tasks),
        advice=advice_for_all(tasks),
    )


def campaigns(tasks: Sequence[SendingTask], wanted: CampaignsWanted, part: str, *, are_more: bool) -> HTMLResponse:
    """
    Show the campaigns of some days.

    :param part: see :func:`one_task`.
    :param are_more: whether older ones were left out.
    """
    return _render(
        "campaigns_live.html" if part == "live" else "campaigns.html",
        tasks,
        campaigns=chosen_campaigns(tasks, wanted),
        wanted=wanted,
        most_lines=_MOST_LINES,
        are_some=bool(tasks),
        are_more=are_more,
    )


def file_name(task: SendingTask) -> str:
    """Name a download after a task."""
    return _NOT_IN_A_NAME.sub("_", f"invites-{task.dag_id}-{task.run_id}-{task.task_id}")[:150] + ".csv"


def _rate(task: SendingTask) -> float | None:
    """Return the invites a second: of the last moments of a task at work, of all of one that has ended."""
    if task.state == "deferred":
        return None
    seconds, accepted = task.progress.timeline.seconds, task.progress.timeline.accepted
    if len(seconds) < 2:
        return None
    first = max(len(seconds) - 6, 0) if task.is_at_work else 0
    return (accepted[-1] - accepted[first]) / max(seconds[-1] - seconds[first], 0.1)


def _seconds_left(task: SendingTask) -> float | None:
    """Return in how long a task that sends will have sent all, at its present pace; None if that is not known."""
    rate = _rate(task)
    return task.left / rate if rate and task.left and task.is_at_work else None


def _own_address(task: SendingTask) -> str:
    parts = {"dag_id": task.dag_id, "run_id": task.run_id, "task_id": task.task_id, "map_index": task.map_index}
    return f"task?{urlencode(parts)}"


def _task_address(task: SendingTask, with_instance: bool = True) -> str:
    """Return the address of a task instance in Airflow's UI, from one of our pages."""
    parts = [_run_address(task), f"tasks/{quote(task.task_id, safe='')}"]
    if task.map_index >= 0:
        parts.append(f"mapped/{task.map_index}" if with_instance else "mapped")
    return "/".join(parts)


def _run_address(task: SendingTask) -> str:
    return f"../dags/{quote(task.dag_id, safe='')}/runs/{quote(task.run_id, safe='')}"


def _tab_address(task: SendingTask, with_instance: bool = True) -> str:
    """Return the address of the tab; for all instances of a mapped task, that of the run's tab."""
    if task.map_index >= 0 and not with_instance:
        return f"{_run_address(task)}/plugin/run-invites"
    return f"{_task_address(task)}/plugin/invites"


def _moment(at: datetime | None, form: str = "%Y-%m-%d %H:%M:%S UTC") -> Markup:
    """Write a time, which the page's script shows in the zone chosen in Airflow."""
    if at is None:
        return Markup("")
    at = at.astimezone(UTC)
    return Markup('<time datetime="{}" title="{:%Y-%m-%d %H:%M:%S} UTC">{}</time>').format(
        at.isoformat(), at, at.strftime(form)
    )


def _clock(at: datetime | None) -> Markup:
    return _moment(at, "%H:%M:%S")


def _thousands(number: int) -> str:
    return f"{number:,}"
