"""The page of campaigns: of a mapped task it sums all instances, and says when it leaves out tasks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from airflow.models.taskinstance import TaskInstance
from sqlalchemy import select
from sqlalchemy.orm import Session

from airflow_provider_omnichat.plugins.invites import metadata, pages
from airflow_provider_omnichat.plugins.invites.metadata import recent_tasks
from tests.support.metadata_database import DATABASES, SENT_AT, add_task, metadata_database
from tests.support.plugin_tasks import sending

SINCE = SENT_AT - timedelta(days=7)
MAPPED = 30


@pytest.fixture(scope="module", params=DATABASES)
def session(request: pytest.FixtureRequest) -> Iterator[Session]:
    """A metadata database with a mapped task, and two older tasks of another DAG."""
    with metadata_database(request.param) as engine, Session(engine) as session:
        for index in range(MAPPED):
            add_task(session, "mapped", "invite", index, at=SENT_AT - timedelta(minutes=index))
        add_task(session, "single", "newer", at=SENT_AT - timedelta(hours=2))
        add_task(session, "single", "older", at=SENT_AT - timedelta(hours=3))
        add_task(session, "single", "too_old", at=SENT_AT - timedelta(days=8))
        yield session


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
    monkeypatch.setattr(metadata, "MOST_TASKS", MAPPED - 5)
    assert names(session, 10) == (["invite"] * MAPPED, True)


def test_a_run_with_more_tasks_than_are_summed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = [task for index in range(3) if (task := sending(index)) is not None]
    assert b"counted here" not in pages.many_tasks(tasks, "").body
    monkeypatch.setattr(pages, "MOST_TASKS", 3)
    assert b"Only 3 tasks are counted here" in pages.many_tasks(tasks, "").body


def test_earlier_tries_have_a_number_and_a_state(session: Session) -> None:
    add_task(session, "tried", state="failed")
    (before,) = metadata.tasks_of_run(session, "tried", "run")
    assert metadata.earlier_tries(session, before) == []
    ti = session.scalars(select(TaskInstance).where(TaskInstance.dag_id == "tried")).one()
    ti.prepare_db_for_next_try(session)
    session.commit()
    task = replace(before, try_number=2, state="running")
    assert [tuple(each) for each in metadata.earlier_tries(session, task)] == [(1, "failed")]
    assert metadata.earlier_tries(session, replace(task, task_id="another")) == []
