"""A sandbox whose application a plan can name, and a client for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_omnichat.api.aio import AsyncOmnichatClient
from airflow_provider_omnichat.sandbox.server import Sandbox
from airflow_provider_omnichat.sandbox.settings import Settings
from tests.support.planned_campaigns import APPLICATION, client_of


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(seed=1, settings=Settings(application_key=APPLICATION)) as server:
        yield server


@pytest.fixture
def client(sandbox: Sandbox) -> AsyncOmnichatClient:
    return client_of(sandbox)
