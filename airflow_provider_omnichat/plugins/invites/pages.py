"""The pages: what is known about tasks, in templates that escape every value."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from functools import cache, partial
from hashlib import blake2b
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from sqlalchemy.orm import Session

from airflow_provider_omnichat.api.privacy import shown_address
from airflow_provider_omnichat.campaign.ledger.settle import SHORTEST_WHY
from airflow_provider_omnichat.campaign.model.pages import Page, PageError
from airflow_provider_omnichat.campaign.model.place import PlaceError
from airflow_provider_omnichat.plugins.invites import access, charts, outcomes
from airflow_provider_omnichat.plugins.invites.advice import advice_for, advice_for_all
from airflow_provider_omnichat.plugins.invites.campaigns import CampaignsWanted, chosen_campaigns
from airflow_provider_omnichat.plugins.invites.delivery import Delivered, delivery_of
from airflow_provider_omnichat.plugins.invites.doubts import doubts_of
from airflow_provider_omnichat.plugins.invites.metadata import MOST_TASKS, earlier_tries
from airflow_provider_omnichat.plugins.invites.quiet_tasks import Approval, Preview, approval_of
from airflow_provider_omnichat.plugins.invites.rows import RowsWanted, number_shower
from airflow_provider_omnichat.plugins.invites.sending_tasks import STATES_AT_WORK, SendingTask, row_place
from airflow_provider_omnichat.plugins.invites.settled import settled_of
from airflow_provider_omnichat.tasks.ended_tasks import TaskName

_MOST_INSTANCES = 200
_OWN_OPERATOR = re.compile("Invite|Omnichat", re.IGNORECASE)
_MOST_LINES = 10
_LIVE = ("task", "many", "campaigns")
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
        task_name=TaskName.of,
        quote=lambda text: quote(text, safe=""),
    )
    environment.filters.update(moment=_moment, thousands="{:,}".format, duration=charts.duration)
    environment.filters["clock"] = partial(_moment, form="%H:%M:%S")
    return environment


def _render(which: str, tasks: Sequence[SendingTask] = (), part: str = "", **values: Any) -> HTMLResponse:
    """Render a page, or its part *live*, which changes while a task is at work; of *state*, there are only headers."""
    headers = _headers([*tasks, *values.get("followers", ())], which, values.get("is_at_work"))
    values |= {"tasks": tasks, "is_at_work": headers["X-At-Work"] == "yes", "state_now": headers["X-State"]}
    name = f"{which}_live.html" if part == "live" and which in _LIVE else f"{which}.html"
    template = _environment().get_template(name)
    return HTMLResponse("" if part == "state" else template.render(values), headers=headers)


def _headers(tasks: Sequence[SendingTask], page: str, is_at_work: bool | None = None) -> dict[str, str]:
    """Say what a page needs to renew itself: often while a task is at work, wholly when its state has changed."""
    if is_at_work is None:
        is_at_work = any(task.is_at_work for task in tasks)
    states = [(_own_address(each), each.state, each.try_number, each.progress.try_number) for each in tasks]
    ended = [None if each.is_at_work else each.progress.at for each in tasks]
    state = blake2b(repr((page, states, ended)).encode(), digest_size=8).hexdigest()
    return {"X-At-Work": "yes" if is_at_work else "no", "X-State": state}


def nothing_sent(
    what: str, states: Collection[tuple[str | None, str]], part: str, previews: Sequence[Preview]
) -> HTMLResponse:
    """Show that a task or a run has sent nothing, or nothing yet; *states* has state and operator of each instance."""
    is_at_work = any(state is None or state in STATES_AT_WORK for state, _ in states)
    failed = any(state in ("failed", "up_for_retry") and _OWN_OPERATOR.search(operator) for state, operator in states)
    if failed and not is_at_work:
        text = f"A sending task of this {what}" if what == "run" else "This task"
        text += " ended before it could say what it sent; its log says why. A further try sends nobody a second SMS."
    else:
        text = f"This {what} has sent no invites{' yet' if is_at_work else ''}."
    return _render("nothing", (), part, text=text, is_at_work=is_at_work, previews=previews)


def unreadable(_: object, error: Exception) -> HTMLResponse:
    """Show why there is nothing to show."""
    return _render("nothing", previews=(), text=f"{str(error).rstrip('.')}.")


def one_task(
    session: Session, task: SendingTask, wanted: RowsWanted, part: str, *, may_settle: bool, user: Any
) -> HTMLResponse:
    """Show one task instance; *part* is ``live`` for the piece that changes while it is at work, and empty for all."""
    rate = _rate(task)
    summary: dict[str, Any] = {
        "tries": earlier_tries(session, task),
        "task": task,
        "progress": task.progress,
        "found": outcomes.shares(task.counts_of_list),
        "rate": rate,
        "seconds_left": task.left / rate if rate and task.left and task.is_at_work else None,
        "address": _own_address(task),
        "advice": advice_for(task, may_settle=may_settle),
    }
    if part:
        return _render("task", [task], part, **summary)
    may_see = access.may(user, task.dag_id, *access.TO_SEE_APPROVALS)
    fingerprint = task.rendered_text("approved")
    approval = approval_of(session, task, fingerprint, may_see=may_see) if fingerprint else None
    session.commit()  # a slow place must not keep a connection that all of Airflow's API needs
    own_place = row_place(task)
    settled = settled_of(session, task, own_place)
    place = settled.place
    page, problem, can_list = Page([], None), "", True
    try:
        page = place.page(wanted.query())
    except PageError as error:
        problem, can_list = str(error), not isinstance(error, PlaceError)
    may_doubt = task.progress.counts.get("unknown") or not task.is_at_work
    return _render(
        "task",
        [task],
        **summary,
        reasons=outcomes.summed_reasons([task]),
        wanted=wanted,
        page=page,
        problem=problem,
        delivery=None if problem else delivery_of([(task, own_place)]),
        approval=approval,
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


def dry_run(preview: Preview, approval: Approval, part: str) -> HTMLResponse:
    """Show a dry run, and who approved it."""
    return _render("dry_run", [preview.task], part, task=preview.task, preview=preview, approval=approval)


def many_tasks(
    tasks: Sequence[SendingTask], part: str, followers: Sequence[SendingTask] = (), delivery: Delivered | None = None
) -> HTMLResponse:
    """Show several task instances, their sum, and what follows them; see :func:`one_task` for *part*."""
    counts = outcomes.summed_counts(task.counts_of_list for task in tasks)
    return _render(
        "many",
        tasks,
        part,
        followers=followers,
        delivery=delivery,
        shown=tasks[:_MOST_INSTANCES],
        total=len(tasks),
        most_tasks=MOST_TASKS,
        found=outcomes.shares(counts),
        rows=sum(task.progress.rows for task in tasks),
        reasons=outcomes.summed_reasons(tasks),
        advice=advice_for_all(tasks),
    )


def campaigns(tasks: Sequence[SendingTask], wanted: CampaignsWanted, part: str, *, are_more: bool) -> HTMLResponse:
    """Show the campaigns of some days; *are_more*: older ones were left out; see :func:`one_task` for *part*."""
    return _render(
        "campaigns",
        tasks,
        part,
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


def _own_address(task: SendingTask) -> str:
    parts = {"dag_id": task.dag_id, "run_id": task.run_id, "task_id": task.task_id, "map_index": task.map_index}
    return f"task?{urlencode(parts)}"


def _task_address(task: Any, with_instance: bool = True) -> str:
    """Return the address of a task instance in Airflow's UI, from one of our pages."""
    parts = [_run_address(task), f"tasks/{quote(task.task_id, safe='')}"]
    if task.map_index >= 0:
        parts.append(f"mapped/{task.map_index}" if with_instance else "mapped")
    return "/".join(parts)


def _run_address(task: Any) -> str:
    return f"../dags/{quote(task.dag_id, safe='')}/runs/{quote(task.run_id, safe='')}"


def _tab_address(task: Any, with_instance: bool = True) -> str:
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
