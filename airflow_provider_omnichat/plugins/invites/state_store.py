"""The task state store of a task instance, as the API server reads and writes it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from airflow.models.task_state_store import TaskStateStoreModel
from airflow.state import TaskScope, get_state_backend
from sqlalchemy import select
from sqlalchemy.orm import Session

from airflow_provider_omnichat.plugins.invites.sending_tasks import SendingTask


class ServerSideStore:
    """
    Works like ``context["task_state_store"]``.

    :param session: to the metadata database; what is written is committed by whoever gave it.
    :param task: whose store it is.
    """

    def __init__(self, session: Session, task: SendingTask) -> None:
        self._session = session
        self._scope = TaskScope(task.dag_id, task.run_id, task.task_id, task.map_index)

    def get(self, key: str, default: Any = None, /) -> Any:
        """Give the value; *default* if there is none."""
        value = get_state_backend().get(self._scope, key, session=self._session)
        return default if value is None else json.loads(value)

    def set(self, key: str, value: Any, /, *, retention: timedelta | None = None) -> None:
        """Write a value, which lives as long as its DAG run."""
        get_state_backend().set(self._scope, key, json.dumps(value), expires_at=None, session=self._session)

    def keys(self, prefix: str, /) -> list[str]:
        """Give the keys that begin so."""
        scope = self._scope
        found = select(TaskStateStoreModel.key).where(
            TaskStateStoreModel.dag_id == scope.dag_id,
            TaskStateStoreModel.run_id == scope.run_id,
            TaskStateStoreModel.task_id == scope.task_id,
            TaskStateStoreModel.map_index == scope.map_index,
            TaskStateStoreModel.key.startswith(prefix, autoescape=True),
        )
        return list(self._session.scalars(found.order_by(TaskStateStoreModel.key)))
