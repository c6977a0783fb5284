"""Airflow's simple auth manager, with a user who must not see one DAG."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

from tests.support.guarded_server import BLIND_USER, HIDDEN_DAG


class BlindAuthManager(SimpleAuthManager):
    """Hides :data:`HIDDEN_DAG` from :data:`BLIND_USER`, as an auth manager with rights by DAG does."""

    def is_authorized_dag(self, *, user: Any, details: Any = None, **asked: Any) -> bool:
        if user.get_name() == BLIND_USER and (details is None or details.id in (None, HIDDEN_DAG)):
            return False
        return super().is_authorized_dag(user=user, details=details, **asked)
