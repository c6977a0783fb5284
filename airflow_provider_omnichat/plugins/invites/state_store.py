"""The task state store of a task instance, as the API server reads and writes it."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from airflow_provider_omnichat.plugins.invites.metadata import names_of
from airflow_provider_omnichat.plugins.invites.sending_tasks import SendingTask


class ServerSideStore:
    """Works like ``context["task_state_store"]``, from Airflow 3.3 on; the owner of the session commits."""

    def __init__(self, session: Session, task: SendingTask) -> None:
        from airflow.state import TaskScope, get_state_backend

        self._session, self._backend = session, get_state_backend()
        self._scope = TaskScope(**names_of(task))

    def get(self, key: str, default: Any = None, /) -> Any:
        value = self._backend.get(self._scope, key, session=self._session)
        return default if value is None else json.loads(value)

    def set(self, key: str, value: Any, /, *, retention: timedelta | None = None) -> None:
        """Write a value, which is kept as long as its DAG run."""
        self._backend.set(self._scope, key, json.dumps(value), expires_at=None, session=self._session)

    def keys(self, prefix: str, /) -> list[str]:
        from airflow.models.task_state_store import TaskStateStoreModel

        # A scope has the names of the table's columns, which differ between versions of Airflow.
        own = [getattr(TaskStateStoreModel, name) == value for name, value in asdict(self._scope).items()]
        key = TaskStateStoreModel.key
        found = select(key).where(*own, key.startswith(prefix, autoescape=True))
        return list(self._session.scalars(found.order_by(TaskStateStoreModel.key)))
