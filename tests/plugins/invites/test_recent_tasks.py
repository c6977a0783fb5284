"""The page of campaigns: of a mapped task it sums all instances, and says when it leaves out tasks."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.models import import_all_models
from airflow.models.xcom import XComModel
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from airflow_provider_omnichat.campaign.model.pages import PageError
from airflow_provider_omnichat.plugins.invites import pages, sending_tasks
from airflow_provider_omnichat.plugins.invites.app import create_app
from airflow_provider_omnichat.plugins.invites.sending_tasks import recent_tasks, tasks_of_run
from airflow_provider_omnichat.tasks.live_progress import PROGRESS_KEY
from tests.support.metadata import add
from tests.support.plugin_tasks import sending

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


# XComs that a backend of Airflow's keeps elsewhere


@pytest.fixture
def object_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any], Any]]:
    """All XComs go to files; gives what makes of a value what the database has of it."""
    backend = pytest.importorskip("airflow.providers.common.io.xcom.backend")
    from airflow.sdk.execution_time import xcom

    monkeypatch.setenv("AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH", f"file://{tmp_path}/xcoms")
    monkeypatch.setenv("AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD", "0")
    monkeypatch.setattr(xcom, "XCom", backend.XComObjectStorageBackend)
    caches = (backend._get_base_path, backend._get_threshold)
    for each in caches:
        each.cache_clear()
    yield lambda value: backend.XComObjectStorageBackend.serialize_value(value, key=PROGRESS_KEY, dag_id="d")
    for each in caches:
        each.cache_clear()


def test_xcoms_in_an_object_store_are_read_there(session: Session, object_store: Callable[[Any], Any]) -> None:
    for index in range(3):
        add(session, "stored", "invite", NOW, index, object_store)
    value = session.query(XComModel.value).filter_by(dag_id="stored").first()
    assert value is not None
    assert str(value[0]).startswith("file://")
    for found in (recent_tasks(session, SINCE, ["stored"], 10).tasks, tasks_of_run(session, "stored", "run")):
        assert [task.map_index for task in found] == [0, 1, 2]
        assert {task.progress.counts["accepted"] for task in found} == {9}


def test_where_they_cannot_be_read_the_page_says_why(
    session: Session, object_store: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from airflow.sdk.bases.xcom import BaseXCom
    from airflow.sdk.execution_time import xcom

    add(session, "stored", "invite", NOW, stored=object_store)
    backend = xcom.XCom
    monkeypatch.setattr(xcom, "XCom", BaseXCom)  # the server has not been told of it
    with pytest.raises(PageError, match="kept by an XCom backend, and BaseXCom of this server cannot read it there"):
        tasks_of_run(session, "stored", "run")
    monkeypatch.setattr(xcom, "XCom", backend)
    shutil.rmtree(tmp_path / "xcoms")
    with pytest.raises(PageError, match=r"XComObjectStorageBackend .*there is nothing") as caught:
        tasks_of_run(session, "stored", "run")
    handler: Any = create_app().exception_handlers[PageError]
    assert b"there is nothing" in handler(None, caught.value).body
