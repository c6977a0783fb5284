"""The example DAGs load quickly, alone, and decide rightly about days and endings."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.example_dags.conftest import EXAMPLE_DAGS

LOAD = """
import socket, sqlite3, sys, time
import airflow
from airflow.providers.common.compat.sdk import dag, task
def refuse(*arguments, **options):
    raise AssertionError("a DAG file must not talk to anybody when it is loaded")
socket.socket.connect = socket.create_connection = sqlite3.connect = refuse
sys.path.insert(0, sys.argv[1])
before = set(sys.modules)
begin = time.perf_counter()
import example_lifecycle_campaign, example_send_invite
seconds = time.perf_counter() - begin
heavy = {"requests", "aiohttp", "phonenumbers"} & (set(sys.modules) - before)
assert not heavy, heavy
assert seconds < 3, seconds
"""


@pytest.fixture
def campaign(customers: ModuleType) -> Any:
    return import_module("example_lifecycle_campaign")


def test_they_load_without_network_or_database() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LOAD, str(EXAMPLE_DAGS)], capture_output=True, text=True, timeout=60, check=False
    )
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


@pytest.mark.parametrize(
    ("left", "outcome", "reason"),
    [
        ({"status": {"groupId": 1, "id": 7}, "messageId": "id-1"}, "accepted", None),
        ({"status": {"groupId": 5, "id": 10, "name": "DND", "description": "on a list"}}, "rejected", "DND: on a list"),
        ({"failure": {"outcome": "not_sent", "reason": "429"}}, "not_sent", "429"),
        ({}, "unknown", "the task ended without saying how; see its log"),
    ],
)
def test_ending_is_what_the_task_left(campaign: Any, left: dict[str, Any], outcome: str, reason: str | None) -> None:
    class Ti:
        def xcom_pull(self, *, task_ids: str, map_indexes: int, key: str) -> Any:
            return left.get(key) if (task_ids, map_indexes) == ("send_invite", 3) else None

    ending = campaign.ending_of(Ti(), 3)
    assert (ending.outcome, ending.reason) == (outcome, reason)
    assert ending.message_id == left.get("messageId")


def test_task_that_was_killed_left_nothing_and_is_in_doubt(campaign: Any) -> None:
    pushed: list[Any] = []
    ti = SimpleNamespace(xcom_push=lambda **what: pushed.append(what))
    campaign.note_failure({"exception": None, "ti": ti})
    campaign.note_failure({"exception": RuntimeError("killed"), "ti": ti})
    assert pushed == []


def test_failure_is_noted_with_its_outcome(campaign: Any) -> None:
    from airflow_provider_omnichat.api.errors import InviteNotSentError, InviteUnknownError

    pushed: list[Any] = []
    ti = SimpleNamespace(xcom_push=lambda **what: pushed.append(what["value"]))
    campaign.note_failure({"exception": InviteNotSentError("429 to the end"), "ti": ti})
    wrapped = RuntimeError("task failed")
    wrapped.__cause__ = InviteUnknownError("no answer")
    campaign.note_failure({"exception": wrapped, "ti": ti})
    assert pushed == [
        {"outcome": "not_sent", "reason": "429 to the end"},
        {"outcome": "unknown", "reason": "no answer"},
    ]
