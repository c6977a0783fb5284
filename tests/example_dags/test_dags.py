"""The example DAGs load nothing heavy, load alone, and decide rightly about days and endings."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.support.folders import EXAMPLE_DAGS
from tests.support.patience import PATIENCE_SECONDS

LOAD = """
import socket, sqlite3, sys
import airflow
from airflow.providers.common.compat.sdk import dag, task
def refuse(*arguments, **options):
    raise AssertionError("a DAG file must not talk to anybody when it is loaded")
socket.socket.connect = socket.create_connection = sqlite3.connect = refuse
sys.path.insert(0, sys.argv[1])
before = set(sys.modules)
import example_approved_campaign, example_delivery, example_lifecycle_campaign, example_mapped_invites
import example_partitioned_campaign, example_send_invite
heavy = {"requests", "aiohttp", "phonenumbers"} & (set(sys.modules) - before)
assert not heavy, heavy
"""


@pytest.fixture
def campaign(customers: ModuleType) -> Any:
    return import_module("example_lifecycle_campaign")


def test_they_load_without_network_or_database() -> None:
    command = [sys.executable, "-c", LOAD, str(EXAMPLE_DAGS)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert ended.returncode == 0, ended.stderr


def test_days_are_those_of_the_data_interval(campaign: Any) -> None:
    context = {
        "data_interval_start": datetime(2026, 11, 19, 9, tzinfo=UTC),
        "data_interval_end": datetime(2026, 11, 20, 9, tzinfo=UTC),
    }
    assert campaign.due_days(context) == (date(2026, 11, 19), date(2026, 11, 20))


def test_run_without_a_logical_date_takes_the_day_before(campaign: Any) -> None:
    context = {"dag_run": SimpleNamespace(run_after=datetime(2026, 11, 20, 15, tzinfo=UTC))}
    assert campaign.due_days(context) == (date(2026, 11, 19), date(2026, 11, 20))


def test_interval_of_no_length_takes_the_day_before(campaign: Any) -> None:
    moment = datetime(2026, 11, 20, 15, tzinfo=UTC)
    context = {"data_interval_start": moment, "data_interval_end": moment, "dag_run": None}
    assert campaign.due_days(context) == (date(2026, 11, 19), date(2026, 11, 20))
