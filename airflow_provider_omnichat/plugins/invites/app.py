"""The pages as a FastAPI app, which Airflow's API server mounts under ``/omnichat``."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal

from airflow import __version__ as airflow_version
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models.log import Log
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from sqlalchemy.exc import SQLAlchemyError
from starlette.middleware.base import RequestResponseEndpoint

from airflow_provider_omnichat.campaign.ledger.settle import SHORTEST_WHY
from airflow_provider_omnichat.campaign.model.pages import PageError
from airflow_provider_omnichat.campaign.model.place import PlaceError
from airflow_provider_omnichat.plugins.invites import access, pages
from airflow_provider_omnichat.plugins.invites.campaigns import CampaignsWanted, campaigns_csv
from airflow_provider_omnichat.plugins.invites.delivery import delivery_of
from airflow_provider_omnichat.plugins.invites.doubts import whole_number
from airflow_provider_omnichat.plugins.invites.metadata import (
    Recent,
    dags_with_campaigns,
    recent_tasks,
    states_of,
    tasks_of_run,
    with_rendered,
)
from airflow_provider_omnichat.plugins.invites.quiet_tasks import approval_of, follower_of, previews_of
from airflow_provider_omnichat.plugins.invites.rows import RowsWanted, csv_lines
from airflow_provider_omnichat.plugins.invites.sending_tasks import SendingTask, row_place
from airflow_provider_omnichat.plugins.invites.settled import settled_of
from airflow_provider_omnichat.plugins.invites.settling import InviteBody, NotSettledError, SettleBody, settle
from airflow_provider_omnichat.plugins.invites.standing import as_they_stand, forget_recent

_log = logging.getLogger(__name__)
Part = Literal["", "live", "state"]  # of a page; see pages.one_task
_MOST_CAMPAIGNS = 200
_MOST_FOLLOWED = 20
_WHY = f"Say how you know, in {SHORTEST_WHY} to 200 letters: it is kept, and nobody can ask you later"
_MOST_REFUSALS = 5
_SAID = {"sent": "settled as sent", "not_sent": "settled as not sent", "in_doubt": "in doubt again"}
_LARGEST_INDEX = 2**31 - 1  # a database refuses larger ones as an error

# Nothing is loaded from elsewhere, and only Airflow's own pages may show these in a frame.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


def create_app() -> FastAPI:
    """Build the app."""
    app = FastAPI(title="Omnichat invites", openapi_url=None, docs_url=None, redoc_url=None)
    app.mount("/static", StaticFiles(directory=Path(__file__).with_name("static")), name="static")
    app.add_api_route("/task", show_task, response_class=HTMLResponse, dependencies=access.MAY_READ)
    app.add_api_route("/run", show_run, response_class=HTMLResponse, dependencies=access.MAY_READ)
    app.add_api_route("/task.json", task_as_json, dependencies=access.MAY_READ)
    app.add_api_route("/rows.csv", download_rows, dependencies=access.MAY_READ)
    app.add_api_route("/campaigns", show_campaigns, response_class=HTMLResponse)
    app.add_api_route("/campaigns.csv", download_campaigns)
    may_write = [*access.MAY_SETTLE, Depends(access.check_write_token)]
    app.add_api_route("/settle", settle_doubts, methods=["POST"], dependencies=may_write)
    app.add_api_route("/reveal", reveal_number, methods=["POST"], dependencies=may_write)
    app.middleware("http")(_with_headers)
    app.add_exception_handler(PageError, pages.unreadable)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _misread)
    # What a newer Airflow has changed can raise almost anything.
    for kind in (AttributeError, ImportError, LookupError, RuntimeError, TypeError, ValueError, SQLAlchemyError):
        app.add_exception_handler(kind, _unknown_tables)
    return app


def _unknown_tables(request: Request, error: Exception) -> HTMLResponse:
    _log.error("%s cannot be shown", request.url.path, exc_info=error)
    why = PageError(
        f"Airflow {airflow_version}'s metadata database cannot be read for this page ({type(error).__name__}); the log"
        " of its API server says why. If this lasts, this version of airflow-provider-omnichat is too old for this"
        " Airflow. Sending is not affected"
    )
    response = pages.unreadable(request, why)
    response.status_code = 503
    return response


async def _refused(request: Request, error: Any) -> Response:
    """Answer programs as Airflow does, and show people a page."""
    if "text/html" not in request.headers.get("accept", ""):
        return await http_exception_handler(request, error)
    why = "Your session has ended: reload Airflow to log in" if error.status_code == 401 else error.detail
    response = pages.unreadable(request, PageError(why))
    response.status_code = error.status_code
    return response


def _misread(_: Request, error: Any) -> JSONResponse:
    first = error.errors()[0]
    field = first["loc"][-1]
    said = _WHY if field == "why" else f"{field}: {first['msg']}"
    return JSONResponse({"detail": said}, status_code=422)


async def _with_headers(request: Request, call_next: RequestResponseEndpoint) -> Response:
    response = await call_next(request)
    response.headers.update(_HEADERS)
    if not request.url.path.rpartition("/static/")[1]:
        response.headers["Cache-Control"] = "no-store"
    return response


def _map_index(text: str) -> int | None:
    """Read the index of a mapped task; a page about all of them has Airflow's placeholder instead."""
    try:
        index = int(text)
    except ValueError:
        return None
    if not -1 <= index <= _LARGEST_INDEX:
        raise HTTPException(404, "There is no such task instance")
    return index


def show_task(
    session: SessionDep,
    user: GetUserDep,
    wanted: Annotated[RowsWanted, Depends()],
    dag_id: str,
    run_id: str,
    task_id: str,
    map_index: str = "",
    part: Part = "",
) -> HTMLResponse:
    """Show a task instance, or all instances of a mapped task."""
    index = _map_index(map_index)
    tasks = tasks_of_run(session, dag_id, run_id, task_id, index)
    if not tasks:
        return _quiet_task(session, user, part, dag_id, run_id, task_id, index)
    now = _now(session, tasks, part)
    if len(now) > 1:
        return pages.many_tasks(now, part)
    may_settle = access.may(user, dag_id, *access.TO_SETTLE)
    return pages.one_task(session, now[0], wanted, part, may_settle=may_settle, user=user)


def _quiet_task(
    session: SessionDep, user: GetUserDep, part: str, dag_id: str, run_id: str, task_id: str, index: int | None
) -> HTMLResponse:
    """Show a dry run, or the campaign that a sensor follows; otherwise say that nothing was sent."""
    for preview in previews_of(session, dag_id, run_id):
        task = preview.task
        if (task.task_id, task.map_index) == (task_id, -1 if index is None else index):
            may_see = access.may(user, dag_id, *access.TO_SEE_APPROVALS)
            approval = approval_of(session, task, preview.fingerprint, may_see=may_see)
            return pages.dry_run(preview, approval, part)
    follower = follower_of(session, dag_id, run_id, task_id, index)
    if follower and (followed := _followed(session, user, follower)):
        shown = with_rendered(session, followed[:_MOST_FOLLOWED]) if not part else []
        session.commit()  # see pages.one_task
        delivery = delivery_of((task, row_place(task)) for task in shown)
        return pages.many_tasks(_now(session, followed, part), part, [follower], delivery)
    return _nothing_sent(session, "task", part, dag_id, run_id, task_id)


def _followed(session: SessionDep, user: GetUserDep, follower: SendingTask) -> Sequence[SendingTask]:
    """Return the tasks that sent its campaign: in its run, else in these days; else all of its run."""
    own = tasks_of_run(session, follower.dag_id, follower.run_id)
    for tasks in (own, _recent(session, user, CampaignsWanted(days=30)).tasks):
        if named := [each for each in tasks if each.progress.campaign == follower.progress.campaign]:
            return named
    return own


def show_run(session: SessionDep, dag_id: str, run_id: str, part: Part = "") -> HTMLResponse:
    """Show all sending tasks of a run."""
    tasks = tasks_of_run(session, dag_id, run_id)
    if not tasks:
        return _nothing_sent(session, "run", part, dag_id, run_id, None)
    return pages.many_tasks(_now(session, tasks, part), part)


def _now(session: SessionDep, tasks: Sequence[SendingTask], part: str) -> Sequence[SendingTask]:
    """Ask the ledgers, unless a page only asks whether anything has changed."""
    return tasks if part == "state" else as_they_stand(session, tasks)


Wanted = Annotated[CampaignsWanted, Depends()]


def show_campaigns(session: SessionDep, user: GetUserDep, wanted: Wanted, part: Part = "") -> HTMLResponse:
    """Show the campaigns of the last days, of the DAGs that the user may see."""
    recent = _recent(session, user, wanted)
    return pages.campaigns(_now(session, recent.tasks, part), wanted, part, are_more=recent.are_more)


def download_campaigns(session: SessionDep, user: GetUserDep, wanted: Wanted) -> StreamingResponse:
    """Return the same as CSV."""
    tasks = as_they_stand(session, _recent(session, user, wanted).tasks)
    return _csv(campaigns_csv(tasks, wanted), "invite-campaigns.csv")


def _recent(session: SessionDep, user: GetUserDep, wanted: CampaignsWanted) -> Recent:
    since = datetime.now(UTC) - timedelta(days=wanted.days)
    dag_ids = access.readable(user, sorted(dags_with_campaigns(session, since)))
    return recent_tasks(session, since, dag_ids, _MOST_CAMPAIGNS)


def _csv(lines: Iterable[str], name: str) -> StreamingResponse:
    disposition = f'attachment; filename="{name}"'
    return StreamingResponse(iter(lines), media_type="text/csv", headers={"Content-Disposition": disposition})


def sending_task(session: SessionDep, dag_id: str, run_id: str, task_id: str, map_index: str = "-1") -> SendingTask:
    """Find the task instance of a request."""
    tasks = tasks_of_run(session, dag_id, run_id, task_id, _map_index(map_index))
    if len(tasks) != 1:
        raise HTTPException(404, "No such task instance has sent invites")
    return tasks[0]


OneTask = Annotated[SendingTask, Depends(sending_task)]


def task_as_json(session: SessionDep, task: OneTask) -> dict[str, Any]:
    """Return how a task instance stands, for programs."""
    (task,) = as_they_stand(session, [task])
    return {**_names(task, "state"), **task.progress.model_dump(mode="json", exclude={"results"})}


def _names(task: SendingTask, more: str) -> dict[str, Any]:
    return {name: getattr(task, name) for name in ("dag_id", "run_id", "task_id", "map_index", more)}


def download_rows(session: SessionDep, task: OneTask, wanted: Annotated[RowsWanted, Depends()]) -> StreamingResponse:
    """Stream the chosen rows as CSV."""
    (task,) = as_they_stand(session, [task])
    place = settled_of(session, task, row_place(task)).place
    session.commit()  # see pages.one_task
    try:
        lines = csv_lines(place, wanted.query())
        first = next(lines)  # what cannot be read is reported now, and not in the middle of a file
    except PageError as error:
        raise HTTPException(404 if isinstance(error, PlaceError) else 409, str(error)) from None
    return _csv(chain([first], lines), pages.file_name(task))


def settle_doubts(session: SessionDep, user: GetUserDep, task: OneTask, body: SettleBody) -> JSONResponse:
    """Record that invites in doubt were sent, or were not, or are in doubt again; the audit log has what was done."""
    try:
        answer = settle(session, task, body, by=user.get_name())
    except NotSettledError as error:
        return JSONResponse({"detail": str(error)}, status_code=409)
    forget_recent()
    what = _SAID[body.settled_as]
    if answer.names:
        told = {"row_keys": answer.names, "settled_as": body.settled_as, "why": body.why}
        _note(session, task, user, "omnichat_settle_invite", told)
    said = [f"{len(answer.names)} {what}."] if answer.names else []
    said += [f"Not settled: {name} {why}." for name, why in list(answer.refused.items())[:_MOST_REFUSALS]]
    return JSONResponse({"detail": " ".join(said)}, status_code=409 if answer.refused else 200)


def _note(session: SessionDep, task: SendingTask, user: GetUserDep, event: str, told: dict[str, Any]) -> None:
    # Not by Airflow's action_logging: from 3.4 on, it leaves out a DAG that is not in the route's path.
    names, by = _names(task, "try_number"), user.get_name()
    session.add(Log(event, owner=by, owner_display_name=by, extra=json.dumps(told), **names))


def reveal_number(session: SessionDep, user: GetUserDep, task: OneTask, body: InviteBody) -> JSONResponse:
    """Return the whole number of an invite in doubt, where it is kept; the audit log has who asked for it."""
    _note(session, task, user, "omnichat_reveal_number", {"recipient": body.recipient})
    session.commit()  # before it is shown
    try:
        number = whole_number(session, task, row_place(task), body.recipient)
    except PageError as error:
        return JSONResponse({"detail": str(error)}, status_code=409)
    if number is None:
        return JSONResponse({"detail": "The number is not kept, or the invite is settled"}, status_code=404)
    return JSONResponse({"number": number})


def _nothing_sent(
    session: SessionDep, what: str, part: str, dag_id: str, run_id: str, task_id: str | None
) -> HTMLResponse:
    found = states_of(session, dag_id, run_id, task_id)
    if found is None:
        raise HTTPException(404, "There is no such task or run")
    return pages.nothing_sent(what, found, part, previews_of(session, dag_id, run_id) if task_id is None else ())
