"""Task instances that have sent, in a metadata database of a test's own; only where Airflow has tabs for plugins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from airflow.models.dagrun import DagRun
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import insert

from airflow_provider_omnichat.tasks.live_progress import PROGRESS_KEY
from tests.support.plugin_tasks import pushed

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def add(
    session: Session,
    dag_id: str,
    task_id: str,
    at: datetime,
    map_index: int = -1,
    stored: Callable[[Any], Any] = lambda value: value,
    *,
    run_id: str = "run",
    value: Mapping[str, Any] | None = None,
    rendered: Mapping[str, Any] | None = None,
) -> None:
    """Add a task instance with its run, what it has pushed, and its rendered fields."""
    run: dict[str, object] = {"dag_id": dag_id, "run_id": run_id}
    if session.query(DagRun.id).filter_by(**run).first() is None:
        times = {"run_after": at, "queued_at": at, "start_date": at, "logical_date": at}
        session.execute(insert(DagRun).values(**run, **times, run_type="manual", state="success"))
    one = {**run, "task_id": task_id, "map_index": map_index}
    session.execute(insert(TaskInstance).values(**one, id=uuid4(), state="success", pool="p", pool_slots=1))
    dag_run_id = session.query(DagRun.id).filter_by(**run).scalar()
    xcom = stored(value or pushed(counts={"accepted": 9, "unknown": 1}))
    session.execute(insert(XComModel).values(**one, dag_run_id=dag_run_id, key=PROGRESS_KEY, value=xcom, timestamp=at))
    if rendered is not None:
        session.execute(insert(RenderedTaskInstanceFields).values(**one, rendered_fields=dict(rendered)))
