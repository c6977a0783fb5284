"""One Airflow and one sandbox for all of these tests: their start is what costs time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_omnichat.sandbox import Sandbox
from tests.support.airflow_deployment import Airflow
from tests.support.airflow_versions import HAS_API_SERVER


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[Sandbox]:
    with Sandbox(seed=1) as server:
        yield server


@pytest.fixture
def sandbox(shared_sandbox: Sandbox) -> Sandbox:
    shared_sandbox.clear()
    shared_sandbox.clear_faults()
    shared_sandbox.set_delivery({}, after=(1.0, 5.0))
    return shared_sandbox


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory, shared_sandbox: Sandbox) -> Iterator[Airflow]:
    """An Airflow with a metadata database; nothing runs."""
    made = Airflow(tmp_path_factory.mktemp("airflow"), shared_sandbox.airflow_connection)
    migrated = made.cli("db", "migrate")
    assert migrated.returncode == 0, migrated.stdout[-3000:]
    yield made
    made.stop()


@pytest.fixture(scope="session")
def deployment(airflow: Airflow) -> Airflow:
    """The same Airflow, with scheduler, DAG processor and API server."""
    if not HAS_API_SERVER:
        pytest.skip(
            "Airflow 2 has another API and, on SQLite, one task at a time; its runs are tested with `dags test`"
        )
    airflow.start()
    return airflow
