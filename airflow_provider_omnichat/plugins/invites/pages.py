"""The pages: what is known about tasks, in templates that escape every value."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy.orm import Session

from airflow_provider_omnichat.api.privacy import shown_address
from airflow_provider_omnichat.campaign.model.pages import Page, PageError
from airflow_provider_omnichat.campaign.model.place import PlaceError
from airflow_provider_omnichat.plugins.invites import access, charts, outcomes
from airflow_provider_omnichat.plugins.invites.doubts import doubts_of
from airflow_provider_omnichat.plugins.invites.metadata import MOST_TASKS
from airflow_provider_omnichat.plugins.invites.rows import RowsWanted, number_shower
from airflow_provider_omnichat.plugins.invites.sending_tasks import SendingTask, row_place

_MOST_INSTANCES = 200
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
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
        task_address=_task_address,
        tab_address=_tab_address,
        quote=lambda text: quote(text, safe=""),
    )
    environment.filters.update(moment=_moment, clock=_clock, thousands=_thousands)
    return environment


def _render(template: str, is_at_work: bool = False, **values: Any) -> HTMLResponse:
    html = _environment().get_template(template).render(values, is_at_work=is_at_work)
    # The page refreshes itself while it says yes, and is reloaded when it has become another one.
    headers = {"X-At-Work": "yes" if is_at_work else "no", "X-Page": template.partition("_")[0].partition(".")[0]}
    return HTMLResponse(html, headers=headers)


def nothing_sent(what: str, is_at_work: bool) -> HTMLResponse:
    """Show that a task or a run has sent nothing, or nothing yet."""
    return _render("nothing.html", is_at_work, text=f"{what} has sent no invites{' yet' if is_at_work else ''}.")


def unreadable(_: object, error: Exception) -> HTMLResponse:
    """Show why there is nothing to show."""
    return _render("nothing.html", text=f"{error}.")


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
        "task": task,
        "is_at_work": task.is_at_work,
        "progress": task.progress,
        "found": outcomes.shares(task.progress.counts),
        "reasons": outcomes.summed_reasons([task]),
        "rate": _rate(task),
        "address": _own_address(task),
    }
    if part == "live":
        return _render("task_live.html", **summary)
    place = row_place(task)
    page, problem, can_list = Page([], None), "", True
    try:
        page = place.page(wanted.query())
    except PageError as error:
        problem, can_list = str(error), not isinstance(error, PlaceError)
    may_doubt = task.progress.counts.get("unknown") or not task.is_at_work
    return _render(
        "task.html",
        **summary,
        wanted=wanted,
        page=page,
        problem=problem,
        place=shown_address(place.location) if place.location else "",
        can_list=can_list,
        sorts=place.sorts,
        doubts=doubts_of(session, task, place, wanted.doubts) if may_doubt else None,
        may_settle=may_settle,
        shown_number=number_shower(),
        token=access.write_token(user, task.dag_id) if may_settle else "",
    )


def many_tasks(tasks: Sequence[SendingTask], part: str) -> HTMLResponse:
    """Show several task instances of a run: their sum, and each; see :func:`one_task` for *part*."""
    counts = outcomes.summed_counts(tasks)
    return _render(
        "many_live.html" if part == "live" else "many.html",
        tasks=tasks[:_MOST_INSTANCES],
        total=len(tasks),
        most_tasks=MOST_TASKS,
        found=outcomes.shares(counts),
        rows=sum(counts.values()),
        reasons=outcomes.summed_reasons(tasks),
        is_at_work=any(task.is_at_work for task in tasks),
    )


def campaigns(tasks: Sequence[SendingTask], days: int, part: str, *, are_more: bool) -> HTMLResponse:
    """
    Show the campaigns of some days; mapped instances of a task are one line.

    :param part: see :func:`one_task`.
    :param are_more: whether older ones were left out.
    """
    name = attrgetter("dag_id", "run_id", "task_id")
    lines = [_line(list(instances)) for _, instances in groupby(sorted(tasks, key=name), key=name)]
    # Doubts first, then the newest.
    lines.sort(key=lambda line: line["at"], reverse=True)
    lines.sort(key=lambda line: not line["doubts"])
    return _render(
        "campaigns_live.html" if part == "live" else "campaigns.html",
        lines=lines,
        days=days,
        are_more=are_more,
        is_at_work=any(line["is_at_work"] for line in lines),
    )


def file_name(task: SendingTask) -> str:
    """Name a download after a task."""
    return _NOT_IN_A_NAME.sub("_", f"invites-{task.dag_id}-{task.run_id}-{task.task_id}")[:150] + ".csv"


def _line(tasks: list[SendingTask]) -> dict[str, Any]:
    counts = outcomes.summed_counts(tasks)
    newest = max(tasks, key=_at)
    return {
        "task": newest,
        "campaign": newest.progress.campaign,
        # One that is at work, else one that is red: a green instance says nothing about the others.
        "state_of": min(tasks, key=lambda task: (not task.is_at_work, task.state == "success")),
        "instances": len(tasks),
        "at": _at(newest),
        "rows": sum(counts.values()),
        "total": sum(task.progress.total or task.progress.rows for task in tasks),
        "found": outcomes.shares(counts),
        "doubts": counts.get("unknown", 0),
        "timeline": newest.progress.timeline,
        "is_at_work": any(task.is_at_work for task in tasks),
    }


def _at(task: SendingTask) -> datetime:
    return task.progress.at or task.start_date or _LONG_AGO


def _rate(task: SendingTask) -> float | None:
    """Return the invites a second: of the last moments of a task at work, of all of one that has ended."""
    seconds, accepted = task.progress.timeline.seconds, task.progress.timeline.accepted
    if len(seconds) < 2:
        return None
    first = max(len(seconds) - 6, 0) if task.is_at_work else 0
    return (accepted[-1] - accepted[first]) / max(seconds[-1] - seconds[first], 0.1)


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


def _moment(at: datetime | None) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if at else ""


def _clock(at: datetime | None) -> str:
    return f"{at.astimezone(UTC):%H:%M:%S}" if at else ""


def _thousands(number: int) -> str:
    return f"{number:,}"
