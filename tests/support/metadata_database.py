"""Airflow's metadata database, made of its models, with tasks in it that have sent invites."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import pytest
from airflow import settings
from airflow.models import import_all_models, xcom
from airflow.models.dagrun import DagRun
from airflow.models.hitl import HITLDetail
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.taskinstance import TaskInstance
from sqlalchemy import Engine, create_engine, insert
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from airflow_provider_omnichat.tasks.live_progress import PROGRESS_KEY
from tests.support.plugin_tasks import pushed
from tests.support.sql_servers import postgresql

SENT_AT = datetime(2026, 11, 1, 8, tzinfo=UTC)
DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)]


@contextmanager
def metadata_database(kind: str) -> Iterator[Engine]:
    """Make the tables in a new database; every session of Airflow in this process goes there."""
    import_all_models()
    before = settings.Session, settings.NonScopedSession
    with _address(kind) as address:
        engine = create_engine(address)
        TaskInstance.metadata.create_all(engine)
        made = sessionmaker(engine, autoflush=False, expire_on_commit=False)
        settings.Session, settings.NonScopedSession = scoped_session(made), made
        try:
            yield engine
        finally:
            settings.Session, settings.NonScopedSession = before
            engine.dispose()


@contextmanager
def _address(kind: str) -> Iterator[str]:
    if kind == "sqlite":
        with TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/airflow.db"
    else:
        with postgresql() as options:
            yield f"postgresql+psycopg2://{options['user']}@/{options['dbname']}?host={options['host']}"


def add_task(
    session: Session,
    dag_id: str = "invites",
    task_id: str = "invite",
    map_index: int = -1,
    *,
    at: datetime = SENT_AT,
    run_id: str = "run",
    state: str = "success",
    rendered: dict[str, Any] | None = None,
    stored: Callable[[Any], Any] = lambda value: value,
    xcoms: Mapping[str, Any] | None = None,
    **progress: Any,
) -> Any:
    """Add a task instance with its progress, or with other XComs if it pushes none; give its id."""
    run: dict[str, Any] = {"dag_id": dag_id, "run_id": run_id}
    dag_run_id = session.query(DagRun.id).filter_by(**run).scalar()
    if dag_run_id is None:
        times = {"run_after": at, "queued_at": at, "start_date": at, "logical_date": at}
        session.execute(insert(DagRun).values(**run, **times, run_type="manual", state="success"))
        dag_run_id = session.query(DagRun.id).filter_by(**run).scalar()
    one = {**run, "task_id": task_id, "map_index": map_index}
    ti_id = TaskInstance.id.type.python_type(str(uuid4()))  # a text until Airflow 3.1
    ti = {**one, "id": ti_id, "state": state, "pool": "p", "pool_slots": 1, "try_number": 1, "end_date": at}
    if map_index >= 0 and hasattr(TaskInstance, "region_id"):
        ti["region_id"] = uuid4()
    session.execute(insert(TaskInstance).values(**ti))
    values = {PROGRESS_KEY: stored(pushed(**progress))} if xcoms is None else xcoms
    has_tries = hasattr(xcom, "XComModelV2")  # Airflow 3.4
    own = {"task_instance_id": ti_id} if has_tries else one
    for key, value in values.items():
        row = {**own, "key": key, "value": value, "timestamp": at}
        if has_tries:
            session.execute(insert(xcom.XComModelV2).values(**row, id=uuid4()))
        else:
            session.execute(insert(xcom.XComModel).values(**row, dag_run_id=dag_run_id))
    if rendered is not None:
        fields = {"id": uuid4()} if has_tries else {}
        session.execute(insert(RenderedTaskInstanceFields).values(**own, **fields, rendered_fields=rendered))
    session.commit()
    return ti_id


def add_question(session: Session, ti_id: Any, body: str, **answer: Any) -> None:
    """Add what a person was asked by a task instance, and what they answered."""
    asked = {"ti_id": ti_id, "subject": "Send it?", "body": body, "options": ["Approve", "Reject"], "params": {}}
    session.execute(insert(HITLDetail).values(**asked, params_input={}, created_at=SENT_AT, **answer))
    session.commit()
