"""The notifier: one SMS for each task instance and try, whatever calls it, and nothing raised to Airflow."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, BaseOperator

from airflow_provider_omnichat.notifications.omnichat import _BEGUN, OmnichatInviteNotifier
from tests.support.airflow_harness import START, run_task
from tests.support.airflow_versions import AIRFLOW, HAS_STATE_STORE, needs_runner, needs_store

NUMBER = "41793026727"
MESSAGE = "{{ dag.dag_id }} / {{ ti.task_id }}, try {{ ti.try_number }}, failed: <link>"


@pytest.fixture(autouse=True)
def new_process() -> None:
    _BEGUN.clear()


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Any:
    """All that was logged."""
    caplog.set_level(logging.INFO)

    def read() -> str:
        shown = capfd.readouterr()
        return shown.out + shown.err + caplog.text

    return read


def notifier(**given: Any) -> OmnichatInviteNotifier:
    return OmnichatInviteNotifier(**{"to": "+41 79 302 67 27", "message": MESSAGE, "retry_budget": 0, **given})


def context(task_id: str = "t", try_number: int = 1, map_index: int = -1, **more: Any) -> Any:
    """What a callback is given."""
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id=task_id, try_number=try_number, map_index=map_index)
    return {"dag": DAG("d", schedule=None, start_date=START), "ti": ti, "run_id": "r", **more}


class Breaks(BaseOperator):
    """A task that fails."""

    def execute(self, context: Any) -> None:
        raise ValueError("broken")


@needs_runner
def test_a_task_that_fails_invites_once_for_each_try_however_often_airflow_calls(at_sandbox):
    told = notifier()
    store: dict[str, Any] = {}
    for try_number in (1, 1, 2):
        task = Breaks(task_id="load", on_failure_callback=[told, told], on_retry_callback=told, retries=1)
        run_task(task, store=store, retries=1, try_number=try_number)
        if HAS_STATE_STORE:  # which remembers over processes
            _BEGUN.clear()
    texts = [sms.message for sms in at_sandbox.accepted]
    assert texts == [f"invites / load, try {n}, failed: <link>" for n in (1, 2)]
    assert told.message == MESSAGE, "the next task gets its own text"


def test_task_instances_tries_and_runs_are_told_apart(at_sandbox):
    told = notifier()
    for each in (context(), context(), context("u"), context(try_number=2), context(map_index=0), context(map_index=1)):
        told(each)
    assert len(at_sandbox.accepted) == 5
    told(context(reason="task_failure"))
    told(context(reason="task_failure"))
    assert len(at_sandbox.accepted) == 6, "the DAG's own callback tells of the run"


def test_a_database_remembers_over_processes(at_sandbox, ledger):
    for _ in range(3):
        notifier(**ledger)(context())
        _BEGUN.clear()
    notifier(**ledger)(context(try_number=2))
    assert [sms.message for sms in at_sandbox.accepted] == [f"d / t, try {n}, failed: <link>" for n in (1, 2)]


@needs_store
def test_a_state_store_that_cannot_be_read_sends_nothing_and_one_of_the_dag_processor_is_not_asked(at_sandbox, said):
    class Store:
        def get(self, key: str) -> None:
            raise ConnectionError("gone")

    notifier()(context(task_state_store=Store(), exception=None))
    assert not at_sandbox.accepted
    assert "The task state store cannot be read" in said()
    notifier()(context(task_state_store=Store()))
    assert len(at_sandbox.accepted) == 1


@pytest.mark.parametrize(
    "given",
    [
        {"run_id": "r", "reason": "task_failure"},
        {"dag_run": SimpleNamespace(dag_id="d", run_id="r")},
        {"dag_run": {"dag_id": "d", "run_id": "r"}, "deadline": {"id": "9c1"}},
    ],
)
def test_a_callback_of_a_dag_or_a_deadline_needs_no_task(at_sandbox, given):
    dag = DAG("d", schedule=None, start_date=START)
    for _ in range(2):
        notifier(message="It is late: <link>")({"dag": dag, **given})
    assert [sms.message for sms in at_sandbox.accepted] == ["It is late: <link>"]


@pytest.mark.skipif(AIRFLOW < (3, 1), reason="Airflow has had deadlines since 3.1")
def test_in_the_triggerer_it_is_awaited(at_sandbox, said):
    given = {"dag_run": {"dag_id": "d", "run_id": "r"}, "deadline": {"id": "9c1"}}

    async def late() -> None:
        for _ in range(2):
            await notifier(message="{{ dag_run.dag_id }} is late: <link>", context=dict(given))

    asyncio.run(late())
    assert [sms.message for sms in at_sandbox.accepted] == ["d is late: <link>"]


def test_numbers_stay_numbers_where_templates_are_rendered_to_objects(at_sandbox):
    dag = DAG("d", schedule=None, start_date=START, render_template_as_native_obj=True)
    notifier(to="{{ '+' }}" + NUMBER)({**context(), "dag": dag})
    assert [sms.to for sms in at_sandbox.accepted] == [NUMBER]


@pytest.mark.parametrize(
    ("fault", "given", "shown"),
    [
        ("401", {}, "HTTP 401"),
        ("drop-after", {}, "may have been sent, or not"),
        ("rejected:10", {}, "REJECTED_DND"),
        ("ok", {"to": "+41 79 302 67 2"}, "is too short"),
        ("ok", {"to": 41793030000.0}, "looks like a float that was rounded"),
        ("ok", {"message": "no link"}, "link placeholder"),
        ("ok", {"message": "{{ nobody.name }} <link>"}, "'nobody' is undefined"),
        ("ok", {"omnichat_conn_id": "missing"}, "missing"),
        ("ok", {"ledger_conn_id": "missing"}, "missing"),
    ],
)
def test_what_goes_wrong_is_an_error_in_the_log_with_the_number_masked(at_sandbox, said, fault, given, shown):
    at_sandbox.script(fault)
    notifier(**given)(context())
    text = said()
    assert "Invite about " in text
    assert shown in text
    for secret in (NUMBER, "302 67 2", "3026727"):
        assert secret not in text
    assert len(at_sandbox.accepted) == (fault == "drop-after")


def test_what_is_in_doubt_is_not_sent_again(at_sandbox, ledger, said):
    at_sandbox.script("drop-before")
    for _ in range(2):
        notifier(**ledger)(context())
    assert at_sandbox.requests_seen == 1
    assert "Already in doubt" in said()


def test_a_context_that_names_nothing_sends_nothing(at_sandbox, said):
    notifier(message="Hello <link>")({"dag": None})
    assert at_sandbox.requests_seen == 0
    assert "names neither a task instance, nor a run, nor a deadline" in said()


def test_it_is_in_the_provider_info():
    from airflow_provider_omnichat.get_provider_info import get_provider_info

    path = f"{OmnichatInviteNotifier.__module__}.{OmnichatInviteNotifier.__name__}"
    assert get_provider_info()["notifications"] == [path]
