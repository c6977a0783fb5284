"""The pages over a metadata database: each module has its own fixture ``engine``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from airflow.api_fastapi.app import create_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api.security import get_user
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from airflow_provider_omnichat.plugins.invites import app

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        yield session


@pytest.fixture
def client(engine: Engine) -> TestClient:
    """The pages for an administrator."""
    create_auth_manager()
    made = app.create_app()
    made.dependency_overrides[get_user] = lambda: SimpleAuthManagerUser(username="anna", role="ADMIN")
    return TestClient(made)
