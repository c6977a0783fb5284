"""The answer of a command stands alone on the standard output, and Airflow is set up only where it has to be."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_provider_omnichat.campaign.ledger.interface import CERTAINLY_NOT_SENT
from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from tests.support.sql_claims import claims_of
from tests.support.sql_servers import Target

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from airflow_provider_omnichat.cli.__main__ import main
code = main()
from airflow import settings
print("set up" if getattr(settings, "engine", None) else "not set up", file=sys.stderr)
sys.exit(code)
"""
BACKEND = """
from airflow.secrets import BaseSecretsBackend
class Mine(BaseSecretsBackend):
    def get_conn_value(self, conn_id, **_):
        return {connection!r} if conn_id == "in_my_backend" else None
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A ledger with one claim."""
    path = str(tmp_path / "ledger.sqlite")
    ledger = SqlLedger(Target("sqlite", "sqlite3", {"database": path}).database(), "welcome", "dag/run/task")
    ledger.claim(claims_of(1, "welcome"), CERTAINLY_NOT_SENT)
    ledger.close()
    return path


@pytest.fixture
def asked(path: str, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Ask for the doubts as CSV, in a process of its own with an Airflow that is new."""

    def run(conn_id: str, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.upper().startswith(("AIRFLOW_", "_AIRFLOW"))
        }
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, "doubts", "welcome", "--csv", "--conn-id", conn_id],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**kept, "AIRFLOW_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT), **environment},
        )

    return run


def keys(answer: str) -> list[str]:
    first, *rows = csv.reader(io.StringIO(answer))
    assert first[0] == "row_key"
    return [row[0] for row in rows]


def connections_in_database(folder: Path, path: str) -> str:
    """Make a database of Airflow's with a connection to the ledger, and return its address."""
    from airflow.models.connection import Connection
    from sqlalchemy import create_engine
    from sqlalchemy.orm import Session

    database = f"sqlite:///{folder / 'airflow.db'}"
    engine = create_engine(database)
    Connection.__table__.create(engine)
    with Session(engine) as session:
        session.add(Connection(conn_id="in_database", conn_type="sqlite", host=path))
        session.commit()
    return database


def test_a_connection_of_the_environment_needs_no_airflow_that_is_set_up(asked, path: str) -> None:
    connection = json.dumps({"conn_type": "sqlite", "host": path})
    done = asked("in_environment", AIRFLOW_CONN_IN_ENVIRONMENT=connection)
    assert (keys(done.stdout), done.returncode, done.stderr) == (["customer-0000"], 0, "not set up\n")


@pytest.mark.airflow
def test_a_connection_of_airflows_database_is_found_and_the_answer_stands_alone(
    asked, path: str, tmp_path: Path
) -> None:
    done = asked("in_database", AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=connections_in_database(tmp_path, path))
    assert (keys(done.stdout), done.returncode, done.stderr) == (["customer-0000"], 0, "set up\n")


@pytest.mark.airflow
def test_what_local_settings_say_while_airflow_is_set_up_is_no_part_of_the_answer(
    asked, path: str, tmp_path: Path
) -> None:
    (tmp_path / "home" / "config").mkdir(parents=True)
    (tmp_path / "home" / "config" / "airflow_local_settings.py").write_text(
        "import warnings\n"
        "print('set up by us')\n"
        "warnings.simplefilter('always')\n"
        "warnings.warn('an old name', FutureWarning)\n"
    )
    done = asked("in_database", AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=connections_in_database(tmp_path, path))
    assert (keys(done.stdout), done.returncode) == (["customer-0000"], 0)
    assert "set up by us" in done.stderr
    assert "an old name" in done.stderr


@pytest.mark.airflow
def test_a_secrets_backend_is_asked_and_what_is_nowhere_is_told_in_a_line(asked, path: str, tmp_path: Path) -> None:
    connection = json.dumps({"conn_type": "sqlite", "host": path})
    (tmp_path / "my_secrets.py").write_text(BACKEND.format(connection=connection))
    environment = {"AIRFLOW__SECRETS__BACKEND": "my_secrets.Mine", "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    done = asked("in_my_backend", **environment)
    assert (keys(done.stdout), done.returncode, done.stderr) == (["customer-0000"], 0, "not set up\n")
    done = asked("nowhere", **environment)
    assert (done.stdout, done.returncode) == ("", 1)
    assert "nowhere" in done.stderr
    assert done.stderr.count("\n") == 2
