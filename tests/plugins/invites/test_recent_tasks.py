"""The page of campaigns: of a mapped task it sums all instances, and says when it leaves out tasks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from airflow.models import import_all_models
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import create_engine, insert
from sqlalchemy.orm import Session

from airflow_provider_omnichat.plugins.invites import pages, sending_tasks
from airflow_provider_omnichat.plugins.invites.sending_tasks import recent_tasks
from airflow_provider_omnichat.tasks.live_progress import PROGRESS_KEY
from tests.support.plugin_tasks import pushed, sending

NOW = datetime(2026, 11, 1, 8, tzinfo=UTC)
SINCE = NOW - timedelta(days=7)
MAPPED = 30


@pytest.fixture
def session() -> Iterator[Session]:
    """A metadata database with a mapped task, and two older tasks of another DAG."""
    engine = create_engine("sqlite://")
    import_all_models()
    XComModel.metadata.create_all(engine)
    with Session(engine) as session:
        for index in range(MAPPED):
            add(session, "mapped", "invite", NOW - timedelta(minutes=index), index)
        add(session, "single", "newer", NOW - timedelta(hours=2))
        add(session, "single", "older", NOW - timedelta(hours=3))
        add(session, "single", "too_old", NOW - timedelta(days=8))
        yield session
    engine.dispose()


def add(session: Session, dag_id: str, task_id: str, at: datetime, map_index: int = -1) -> None:
    run: dict[str, object] = {"dag_id": dag_id, "run_id": "run"}
    if session.query(DagRun.id).filter_by(**run).first() is None:
        times = {"run_after": at, "queued_at": at, "start_date": at, "logical_date": at}
        session.execute(insert(DagRun).values(**run, **times, run_type="manual", state="success"))
    one = {**run, "task_id": task_id, "map_index": map_index}
    session.execute(insert(TaskInstance).values(**one, id=uuid4(), state="success", pool="p", pool_slots=1))
    dag_run_id = session.query(DagRun.id).filter_by(**run).scalar()
    value = pushed(counts={"accepted": 9, "unknown": 1})
    session.execute(insert(XComModel).values(**one, dag_run_id=dag_run_id, key=PROGRESS_KEY, value=value, timestamp=at))


def names(session: Session, most: int, dag_ids: tuple[str, ...] = ("mapped", "single")) -> tuple[list[str], bool]:
    found = recent_tasks(session, SINCE, dag_ids, most)
    return [task.task_id for task in found.tasks], found.are_more


def test_all_instances_of_a_mapped_task_are_one_of_the_tasks(session: Session) -> None:
    assert names(session, 10) == (["invite"] * MAPPED + ["newer", "older"], False)
    assert names(session, 2) == (["invite"] * MAPPED + ["newer"], True)
    assert names(session, 1) == (["invite"] * MAPPED, True)


def test_only_dags_that_are_asked_for(session: Session) -> None:
    assert names(session, 10, ("single",)) == (["newer", "older"], False)
    assert names(session, 10, ()) == ([], False)


def test_many_instances_leave_out_older_tasks_and_never_a_part_of_one(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending_tasks, "MOST_TASKS", MAPPED - 5)
    assert names(session, 10) == (["invite"] * MAPPED, True)


def test_a_run_with_more_tasks_than_are_summed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = [task for index in range(3) if (task := sending(index)) is not None]
    assert b"not counted here" not in pages.many_tasks(tasks, "").body
    monkeypatch.setattr(pages, "MOST_TASKS", 3)
    assert b"not counted here" in pages.many_tasks(tasks, "").body
