"""Task instances that send invites, as Airflow's metadata database has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from typing import Annotated, Any, NamedTuple, Self

from airflow.models.dagrun import DagRun
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator
from sqlalchemy import and_, func, select, tuple_
from sqlalchemy.orm import Session

from airflow_provider_omnichat.plugins.invites.xcom_values import pushed_values
from airflow_provider_omnichat.tasks.live_progress import PROGRESS_KEY

MOST_TASKS = 2000
"""Instances that are read and summed at most."""

STATES_AT_WORK = frozenset({"queued", "running", "restarting", "deferred", "scheduled", "up_for_reschedule"})
"""In which a task is sending, or will go on by itself."""

# What pages add, divide, draw and compare; more of it no campaign has.
Count = Annotated[int, Field(ge=0, le=10**12)]
Seconds = Annotated[float, Field(ge=0, le=10**9, allow_inf_nan=False)]
Moment = Annotated[AwareDatetime, Field(ge=datetime(2000, 1, 1, tzinfo=UTC), le=datetime(2200, 1, 1, tzinfo=UTC))]
_MOST_MOMENTS = 200
_MOST_WORDS = 100


class ReasonCount(BaseModel):
    """How many rows ended for one reason."""

    model_config = ConfigDict(extra="ignore")

    outcome: str
    code: str | None = None
    name: str | None = None
    count: Count = 0
    first: list[str | Count] = Field(default_factory=list, max_length=_MOST_WORDS)


class Timeline(BaseModel):
    """Totals at moments of one process."""

    model_config = ConfigDict(extra="ignore")

    seconds: list[Seconds] = Field(default_factory=list, max_length=_MOST_MOMENTS)
    accepted: list[Count] = Field(default_factory=list)
    rejected: list[Count] = Field(default_factory=list)
    unknown: list[Count] = Field(default_factory=list)
    refused_for_now: list[Count] = Field(default_factory=list)

    @model_validator(mode="after")
    def _has_all_totals_of_each_moment(self) -> Self:
        totals = (self.accepted, self.rejected, self.unknown, self.refused_for_now)
        if any(len(each) != len(self.seconds) for each in totals) or sorted(self.seconds) != self.seconds:
            raise ValueError("there must be a total of each kind for each moment, and moments in their order")
        return self


class TaskProgress(BaseModel):
    """What a task pushed of how far it is; see ``tasks.live_progress``. Whoever may edit XComs may have changed it."""

    model_config = ConfigDict(extra="ignore")

    campaign: str
    try_number: int = 1
    results: str | None = None
    at: Moment | None = None
    started_at: Moment | None = None
    rows: Count = 0
    total: Count | None = None
    counts: dict[str, Count] = Field(default_factory=dict, max_length=_MOST_WORDS)
    reasons: list[ReasonCount] = Field(default_factory=list, max_length=_MOST_WORDS)
    sent_this_try: Count = 0
    segments: Count = 0
    refused_for_now: Count = 0
    rate_limit: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    stop_reason: str | None = None
    timeline: Timeline = Field(default_factory=Timeline)


@dataclass(frozen=True, slots=True)
class SendingTask:
    """
    A task instance that sends, or has sent.

    :param state: of Airflow; None before it is scheduled.
    :param rendered: its rendered template fields, as the worker wrote them.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    state: str | None
    try_number: int
    start_date: datetime | None
    end_date: datetime | None
    progress: TaskProgress
    rendered: Mapping[str, Any]

    @property
    def is_at_work(self) -> bool:
        """Whether it is sending, or will go on by itself."""
        return self.state in STATES_AT_WORK

    @property
    def identity(self) -> str:
        """The name that the task has for the ledger and the results; see ``tasks.ledger.task_identity``."""
        parts = [self.dag_id, self.run_id, self.task_id]
        return "/".join(parts if self.map_index < 0 else [*parts, str(self.map_index)])

    @classmethod
    def of(cls, ti: TaskInstance, value: Any, rendered: Any) -> Self | None:
        """
        Read what a task pushed.

        :param value: of the XCom.
        :param rendered: the task's rendered fields; None where Airflow no longer has them.
        :return: None where the value is something else.
        """
        try:
            progress = TaskProgress.model_validate(value)
        except ValidationError:
            return None
        return cls(
            dag_id=ti.dag_id,
            run_id=ti.run_id,
            task_id=ti.task_id,
            map_index=ti.map_index,
            state=str(ti.state) if ti.state else None,
            try_number=ti.try_number,
            start_date=ti.start_date,
            end_date=ti.end_date,
            progress=progress,
            rendered=rendered if isinstance(rendered, Mapping) else {},
        )


def tasks_of_run(
    session: Session, dag_id: str, run_id: str, task_id: str | None = None, map_index: int | None = None
) -> list[SendingTask]:
    """
    Give the sending tasks of a run.

    :param session: to the metadata database.
    :param task_id: only this one; None for all.
    :param map_index: only this one; None for all.
    """
    conditions = [TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id]
    if task_id is not None:
        conditions.append(TaskInstance.task_id == task_id)
    if map_index is not None:
        conditions.append(TaskInstance.map_index == map_index)
    statement = _statement().where(*conditions).order_by(TaskInstance.task_id, TaskInstance.map_index)
    return _tasks(session, session.execute(statement.limit(MOST_TASKS)).all())


class Recent(NamedTuple):
    """
    The sending tasks of some days.

    :param tasks: all instances of each.
    :param are_more: whether there are older ones.
    """

    tasks: Sequence[SendingTask]
    are_more: bool


def recent_tasks(session: Session, since: datetime, dag_ids: Iterable[str], most: int) -> Recent:
    """
    Give the sending tasks of the last days: of mapped ones all instances, so that what is summed is a whole.

    :param session: to the metadata database.
    :param since: when they pushed last.
    :param dag_ids: of which DAGs.
    :param most: tasks at most; a mapped one counts once.
    """
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
    ordered = _statement().where(these).order_by(TaskInstance.dag_id, TaskInstance.run_id, TaskInstance.task_id)
    return Recent(_tasks(session, session.execute(ordered).all()), len(chosen) < len(found))


def dags_with_campaigns(session: Session, since: datetime) -> set[str]:
    """
    Give the DAGs of which a task has pushed how far it is.

    :param session: to the metadata database.
    :param since: when.
    """
    found = select(XComModel.dag_id).where(XComModel.key == PROGRESS_KEY, XComModel.timestamp >= since).distinct()
    return set(session.scalars(found))


def may_send_yet(session: Session, dag_id: str, run_id: str, task_id: str | None) -> bool | None:
    """
    Tell whether a task has not ended, or any task of a run.

    :param session: to the metadata database.
    :param task_id: None for any.
    :return: None where there is no such run, or no such task in it.
    """
    statement = select(TaskInstance.state).where(TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id)
    if task_id is not None:
        statement = statement.where(TaskInstance.task_id == task_id)
    states = session.scalars(statement.distinct()).all()
    if not states and (task_id is not None or not _has_run(session, dag_id, run_id)):
        return None
    return any(state is None or state in STATES_AT_WORK for state in states)


def _has_run(session: Session, dag_id: str, run_id: str) -> bool:
    return session.scalar(select(DagRun.id).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)) is not None


def _statement() -> Any:
    is_its_xcom = and_(
        XComModel.dag_id == TaskInstance.dag_id,
        XComModel.run_id == TaskInstance.run_id,
        XComModel.task_id == TaskInstance.task_id,
        XComModel.map_index == TaskInstance.map_index,
        XComModel.key == PROGRESS_KEY,
    )
    are_its_fields = and_(
        RenderedTaskInstanceFields.dag_id == TaskInstance.dag_id,
        RenderedTaskInstanceFields.run_id == TaskInstance.run_id,
        RenderedTaskInstanceFields.task_id == TaskInstance.task_id,
        RenderedTaskInstanceFields.map_index == TaskInstance.map_index,
    )
    return (
        select(TaskInstance, XComModel.value, RenderedTaskInstanceFields.rendered_fields)
        .join(XComModel, is_its_xcom)
        .outerjoin(RenderedTaskInstanceFields, are_its_fields)
    )


def _tasks(session: Session, found: Sequence[Any]) -> list[SendingTask]:
    values = pushed_values(session, [value for _, value, _ in found])
    tasks = [SendingTask.of(ti, value, rendered) for (ti, _, rendered), value in zip(found, values, strict=True)]
    return [task for task in tasks if task is not None]
