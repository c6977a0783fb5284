"""The pages as a FastAPI app, which Airflow's API server mounts under ``/omnichat``."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

from airflow import __version__ as airflow_version
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.api_fastapi.logging.decorators import action_logging
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from sqlalchemy.exc import SQLAlchemyError
from starlette.middleware.base import RequestResponseEndpoint

from airflow_provider_omnichat.campaign.model.pages import PageError
from airflow_provider_omnichat.campaign.model.place import PlaceError
from airflow_provider_omnichat.plugins.invites import access, pages
from airflow_provider_omnichat.plugins.invites.doubts import whole_number
from airflow_provider_omnichat.plugins.invites.metadata import (
    dags_with_campaigns,
    may_send_yet,
    recent_tasks,
    tasks_of_run,
)
from airflow_provider_omnichat.plugins.invites.rows import RowsWanted, csv_lines
from airflow_provider_omnichat.plugins.invites.sending_tasks import SendingTask, row_place
from airflow_provider_omnichat.plugins.invites.settling import InviteBody, NotSettledError, SettleBody, settle

_log = logging.getLogger(__name__)
_MOST_CAMPAIGNS = 200
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
    may_write = [*access.MAY_SETTLE, Depends(access.check_write_token)]
    logged = Depends(action_logging("omnichat_settle_invite"))
    app.add_api_route("/settle", settle_doubt, methods=["POST"], dependencies=[*may_write, logged])
    revealed = Depends(action_logging("omnichat_reveal_number"))
    app.add_api_route("/reveal", reveal_number, methods=["POST"], dependencies=[*may_write, revealed])
    app.middleware("http")(_with_headers)
    app.add_exception_handler(PageError, pages.unreadable)
    for kind in (AttributeError, TypeError, SQLAlchemyError):  # raised by tables that a newer Airflow has changed
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
    part: str = "",
) -> HTMLResponse:
    """Show a task instance, or all instances of a mapped task."""
    tasks = tasks_of_run(session, dag_id, run_id, task_id, _map_index(map_index))
    if not tasks:
        return pages.nothing_sent("This task", _may_send_yet(session, dag_id, run_id, task_id))
    if len(tasks) > 1:
        return pages.many_tasks(tasks, part)
    may_settle = access.may_settle(user, dag_id)
    session.commit()  # a slow place must not keep a connection that all of Airflow's API needs
    return pages.one_task(session, tasks[0], wanted, part, may_settle=may_settle, user=user)


def show_run(session: SessionDep, dag_id: str, run_id: str, part: str = "") -> HTMLResponse:
    """Show all sending tasks of a run."""
    tasks = tasks_of_run(session, dag_id, run_id)
    if not tasks:
        return pages.nothing_sent("This run", _may_send_yet(session, dag_id, run_id, None))
    return pages.many_tasks(tasks, part)


def show_campaigns(
    session: SessionDep, user: GetUserDep, days: Annotated[int, Query(ge=1, le=90)] = 7, part: str = ""
) -> HTMLResponse:
    """Show the campaigns of the last days, of the DAGs that the user may see."""
    since = datetime.now(UTC) - timedelta(days=days)
    dag_ids = access.readable(user, sorted(dags_with_campaigns(session, since)))
    recent = recent_tasks(session, since, dag_ids, _MOST_CAMPAIGNS)
    return pages.campaigns(recent.tasks, days, part, are_more=recent.are_more)


def sending_task(session: SessionDep, dag_id: str, run_id: str, task_id: str, map_index: str = "-1") -> SendingTask:
    """Find the task instance of a request."""
    tasks = tasks_of_run(session, dag_id, run_id, task_id, _map_index(map_index))
    if len(tasks) != 1:
        raise HTTPException(404, "No such task instance has sent invites")
    return tasks[0]


OneTask = Annotated[SendingTask, Depends(sending_task)]


def task_as_json(task: OneTask) -> dict[str, Any]:
    """Return what a task instance has pushed, for programs."""
    names = {name: getattr(task, name) for name in ("dag_id", "run_id", "task_id", "map_index", "state")}
    return {**names, **task.progress.model_dump(mode="json", exclude={"results"})}


def download_rows(session: SessionDep, task: OneTask, wanted: Annotated[RowsWanted, Depends()]) -> StreamingResponse:
    """Stream the chosen rows as CSV."""
    session.commit()  # as above
    try:
        lines = csv_lines(row_place(task), wanted.query())
        first = next(lines)  # what cannot be read is reported now, and not in the middle of a file
    except PageError as error:
        raise HTTPException(404 if isinstance(error, PlaceError) else 409, str(error)) from None
    disposition = f'attachment; filename="{pages.file_name(task)}"'
    return StreamingResponse(chain([first], lines), media_type="text/csv", headers={"Content-Disposition": disposition})


def settle_doubt(session: SessionDep, user: GetUserDep, task: OneTask, body: SettleBody) -> JSONResponse:
    """Record that an invite in doubt was sent, or was not."""
    try:
        settle(session, task, body, by=user.get_name())
    except NotSettledError as error:
        return JSONResponse({"detail": str(error)}, status_code=409)
    return JSONResponse({"detail": "Settled"})


def reveal_number(session: SessionDep, task: OneTask, body: InviteBody) -> JSONResponse:
    """Return the whole number of an invite in doubt, where it is kept."""
    session.commit()  # first, the audit log has it
    try:
        number = whole_number(session, task, row_place(task), body.recipient)
    except PageError as error:
        return JSONResponse({"detail": str(error)}, status_code=409)
    if number is None:
        return JSONResponse({"detail": "The number is not kept, or the invite is settled"}, status_code=404)
    return JSONResponse({"number": number})


def _may_send_yet(session: SessionDep, dag_id: str, run_id: str, task_id: str | None) -> bool:
    answer = may_send_yet(session, dag_id, run_id, task_id)
    if answer is None:
        raise HTTPException(404, "There is no such task or run")
    return answer
