"""One Airflow and one sandbox for all of these tests: their start is what costs time."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_omnichat.sandbox import Sandbox
from tests.support.airflow_deployment import Airflow
from tests.support.airflow_versions import HAS_API_SERVER
from tests.support.snippets import dag_snippets


# Of this package, and not of the session: what runs in between costs the tests behind it a fifth of a core.
@pytest.fixture(scope="package")
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
def migrated(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A metadata database, made once for all processes of pytest: each Airflow gets a copy."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "migrated"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "airflow.db").exists():
            made = Airflow(folder / "home", "{}")
            done = made.cli("db", "migrate")
            assert done.returncode == 0, done.stdout[-3000:]
            (folder / "home" / "airflow.db").rename(folder / "airflow.db")
    return folder / "airflow.db"


@pytest.fixture
def airflow(tmp_path: Path, shared_sandbox: Sandbox, migrated: Path) -> Airflow:
    """An Airflow of this test's own, of which nothing runs: for the command line."""
    return _made(tmp_path / "airflow", shared_sandbox, migrated)


@pytest.fixture(scope="package")
def deployment(
    tmp_path_factory: pytest.TempPathFactory, shared_sandbox: Sandbox, request: pytest.FixtureRequest
) -> Iterator[Airflow]:
    """An Airflow with scheduler, DAG processor and API server, for all tests."""
    if not HAS_API_SERVER:
        pytest.skip("Airflow 2 has another API and, on SQLite, one task at a time: its runs are tested by `dags test`")
    made = _made(tmp_path_factory.mktemp("airflow"), shared_sandbox, request.getfixturevalue("migrated"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def running(request: pytest.FixtureRequest) -> Airflow:
    """What runs a DAG to its end: the deployment, or on Airflow 2 the command line."""
    made: Airflow = request.getfixturevalue("deployment" if HAS_API_SERVER else "airflow")
    return made


def _made(home: Path, sandbox: Sandbox, migrated: Path) -> Airflow:
    made = Airflow(home, sandbox.airflow_connection)
    shutil.copy(migrated, home / "airflow.db")
    for dag_id, code in dag_snippets():
        code = code.replace("/tmp/invites", str(made.marks / "invites"))
        (made.snippets / f"{dag_id}.py").write_text(code.replace("airflow.sdk", "airflow.providers.common.compat.sdk"))
    return made
