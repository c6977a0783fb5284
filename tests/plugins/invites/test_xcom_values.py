"""What tasks pushed is also read where an XCom backend keeps it elsewhere; where that cannot be, the page says why."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.models.xcom import XComModel
from sqlalchemy.orm import Session

from airflow_provider_omnichat.campaign.model.pages import PageError
from airflow_provider_omnichat.plugins.invites.app import create_app
from airflow_provider_omnichat.plugins.invites.metadata import recent_tasks, tasks_of_run
from airflow_provider_omnichat.tasks.live_progress import PROGRESS_KEY
from tests.support.metadata_database import SENT_AT, add_task, metadata_database

SINCE = SENT_AT - timedelta(days=7)
COUNTS: dict[str, Any] = {"counts": {"accepted": 9, "unknown": 1}}


@pytest.fixture
def session() -> Iterator[Session]:
    """A metadata database with nothing in it."""
    with metadata_database("sqlite") as engine, Session(engine) as session:
        yield session


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
        add_task(session, "stored", map_index=index, stored=object_store, **COUNTS)
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

    add_task(session, "stored", stored=object_store, **COUNTS)
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
