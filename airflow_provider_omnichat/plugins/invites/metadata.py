"""
Airflow's metadata database, as far as the pages read it; only :mod:`.quiet_tasks` knows its tables, too.

From Airflow 3.4 on, XComs and rendered fields belong to a try of a task instance (``task_instance_id``), and mapped
instances to a region; before, to the names of DAG, run and task, and the map index.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from itertools import accumulate
from types import SimpleNamespace
from typing import Any, NamedTuple

from airflow.models.dagrun import DagRun
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import and_, func, select, tuple_
from sqlalchemy.orm import Session

from airflow_provider_omnichat.campaign.model.pages import PageError
from airflow_provider_omnichat.plugins.invites.sending_tasks import SendingTask
from airflow_provider_omnichat.tasks.live_progress import PROGRESS_KEY

try:
    from airflow.models.taskinstancehistory import TaskInstanceHistory
except ImportError:  # from Airflow 3.4 on, earlier tries stay in the table of the others
    TaskInstanceHistory = TaskInstance  # type: ignore[misc, assignment]

MOST_TASKS = 2000  # instances that are read and summed

_READERS = 16


def tasks_of_run(
    session: Session, dag_id: str, run_id: str, task_id: str | None = None, map_index: int | None = None
) -> list[SendingTask]:
    """Return the sending tasks of a run, or those of a task or map index; one alone has its rendered fields."""
    conditions = [TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id]
    if task_id is not None:
        conditions.append(TaskInstance.task_id == task_id)
    if map_index is not None:
        conditions.append(TaskInstance.map_index == map_index)
    statement = pushed().where(*conditions).order_by(TaskInstance.task_id, TaskInstance.map_index)
    found = session.execute(statement.limit(MOST_TASKS)).all()
    # Airflow's own function also finds what it wrote before an upgrade to 3.4, into another table.
    rendered = (
        RenderedTaskInstanceFields.get_templated_fields(found[0][0], session=session) if len(found) == 1 else None
    )
    return _tasks(session, found, rendered)


class Recent(NamedTuple):
    """The sending tasks of some days, with all instances of each, and whether there are older ones."""

    tasks: Sequence[SendingTask]
    are_more: bool


def recent_tasks(session: Session, since: datetime, dag_ids: Iterable[str], most: int) -> Recent:
    """Return the newest sending tasks that pushed since then, with all instances of mapped ones, which count once."""
    names = (XComModel.dag_id, XComModel.run_id, XComModel.task_id)
    newest = (
        select(*names, func.count())
        .where(XComModel.key == PROGRESS_KEY, XComModel.timestamp >= since, XComModel.dag_id.in_(set(dag_ids)))
        .group_by(*names)
        .order_by(func.max(XComModel.timestamp).desc())
        .limit(most + 1)
    )
    found = [(tuple(name), count) for *name, count in session.execute(newest)]
    instances = accumulate(count for _, count in found)
    chosen = [
        name for (name, count), sum_of in zip(found[:most], instances, strict=False) if sum_of - count < MOST_TASKS
    ]
    these = tuple_(TaskInstance.dag_id, TaskInstance.run_id, TaskInstance.task_id).in_(chosen)
    ordered = pushed().where(these).order_by(TaskInstance.dag_id, TaskInstance.run_id, TaskInstance.task_id)
    return Recent(_tasks(session, session.execute(ordered).all()), len(chosen) < len(found))


def with_rendered(session: Session, tasks: Iterable[SendingTask]) -> list[SendingTask]:
    """Return tasks with their rendered fields, where these were not read."""
    return [task if task.rendered else replace(task, rendered=_rendered(session, task)) for task in tasks]


def _rendered(session: Session, task: SendingTask) -> Mapping[str, Any]:
    ti = session.scalars(select(TaskInstance).where(*_is(task))).first()
    return fields_of(session, ti) if ti else {}


def fields_of(session: Session, ti: TaskInstance) -> Mapping[str, Any]:
    """Return the rendered fields of a task instance, as far as Airflow still has them."""
    found = RenderedTaskInstanceFields.get_templated_fields(ti, session=session)
    return found if isinstance(found, Mapping) else {}


def dags_with_campaigns(session: Session, since: datetime) -> set[str]:
    """Return the DAGs of which a task has pushed its progress since then."""
    found = select(XComModel.dag_id).where(XComModel.key == PROGRESS_KEY, XComModel.timestamp >= since).distinct()
    return set(session.scalars(found))


def states_of(session: Session, dag_id: str, run_id: str, task_id: str | None) -> set[tuple[str | None, str]] | None:
    """Return state and operator of a task's instances, or of all of a run; None if there is no such task or run."""
    columns = select(TaskInstance.state, TaskInstance.operator)
    statement = columns.where(TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id)
    if task_id is not None:
        statement = statement.where(TaskInstance.task_id == task_id)
    found = {(state, operator or "") for state, operator in session.execute(statement.distinct())}
    run = select(DagRun.id).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
    if not found and (task_id is not None or session.scalar(run) is None):
        return None
    return found


def locked_state(session: Session, task: SendingTask) -> tuple[str | None, datetime | None]:
    """Keep a task instance from beginning until the session commits; return its state, and when its last try ended."""
    which = select(TaskInstance.state, TaskInstance.end_date).where(*_is(task))
    found = session.execute(which.with_for_update()).one()
    return found[0], found[1]


def earlier_tries(session: Session, task: SendingTask) -> Sequence[Any]:
    """Return number and state of the tries before: beside their logs, Airflow keeps no more of them."""
    tries = TaskInstanceHistory
    which = select(tries.try_number, tries.state).where(*_is(task, tries), tries.try_number < task.try_number)
    found = which.order_by(tries.try_number).execution_options(include_all_attempts=True)
    return session.execute(found).all() if task.try_number > 1 else []


def names_of(task: SendingTask) -> dict[str, Any]:
    """Return what Airflow's tables call a task instance."""
    names = {"dag_id": task.dag_id, "run_id": task.run_id, "task_id": task.task_id, "map_index": task.map_index}
    return names if task.region_id is None else {**names, "region_id": task.region_id}


def _is(task: SendingTask, model: Any = TaskInstance) -> list[Any]:
    return [getattr(model, name) == value for name, value in names_of(task).items()]


def pushed(key: str = PROGRESS_KEY) -> Any:
    """Select task instances with what they have pushed under a key."""
    if hasattr(XComModel, "task_instance_id"):
        is_its_xcom = XComModel.task_instance_id == TaskInstance.id
    else:
        names = ("dag_id", "run_id", "task_id", "map_index")
        is_its_xcom = and_(*(getattr(XComModel, name) == getattr(TaskInstance, name) for name in names))
    return select(TaskInstance, XComModel.value).join(XComModel, and_(is_its_xcom, XComModel.key == key))


def _tasks(session: Session, found: Sequence[Any], rendered: Any = None) -> list[SendingTask]:
    values = _pushed_values(session, [value for _, value in found])
    tasks = [SendingTask.of(ti, value, rendered) for (ti, _), value in zip(found, values, strict=True)]
    return [task for task in tasks if task is not None]


def _pushed_values(session: Session, values: Sequence[Any]) -> Sequence[Any]:
    """Return the values of XComs: as the database has them, or from the backend; raise PageError if it gives none."""
    if not any(isinstance(value, str) for value in values):
        return values
    session.expunge_all()
    session.commit()  # an object store may be slow, and all of Airflow's API needs its connections
    with ThreadPoolExecutor(_READERS) as readers:
        read = list(readers.map(_from_backend, values))
    if all(isinstance(value, str) for value in read):
        raise PageError(read[0])
    return read


def _from_backend(value: Any) -> Any:
    """Return what a backend keeps elsewhere; the reason, as a text, if it cannot be read."""
    if not isinstance(value, str):
        return value
    from airflow.sdk.execution_time.xcom import XCom

    try:
        read = XCom.deserialize_value(SimpleNamespace(value=value))
        problem = "there is nothing, or it is another backend's"
    except Exception as error:  # whatever a storage raises
        read, problem = "", type(error).__name__
    if not isinstance(read, str):
        return read
    return (
        f"What this task has pushed is kept by an XCom backend, and {XCom.__name__} of this server cannot read it there"
        f" ({problem}). Give the API server the xcom_backend of the workers, with its settings, connections and rights"
    )
