"""``@task.omnichat_invite``: what the function gives is sent, once, and shown nowhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_omnichat.decorators.omnichat_invite import omnichat_invite_task
from tests.airflow_harness import AIRFLOW, HAS_STATE_STORE, START, run_task
from tests.operators.test_batch_rules import DAY, HOURS, NIGHT
from tests.operators.test_send_invite_batch import MESSAGE, counts, number, people

needs_runner = pytest.mark.skipif(AIRFLOW < (3, 0), reason="Airflow 2 has no task runner of its own")


@pytest.fixture
def at_sandbox(sandbox, hook_for):
    hook_for(sandbox)
    return sandbox


def task_of(function: Any, *args: Any, **given: Any) -> Any:
    """The operator that a decorated function makes in a DAG."""
    from airflow.providers.common.compat.sdk import DAG

    with DAG("invites", schedule=None, start_date=START):
        fields = {"message": MESSAGE, "retry_budget": 1.0, "concurrency": 4, **given}
        decorated: Any = omnichat_invite_task(function, **fields)
        return decorated(*args).operator


def test_the_rows_that_the_function_gives_are_sent(at_sandbox):
    def invite(count: int) -> list[dict[str, Any]]:
        return people(count)

    task = task_of(invite, 7)
    run = run_task(task)
    assert run.succeeded, run.error
    assert task.task_id == "invite"
    assert counts(run) == {"accepted": 7}
    assert len(at_sandbox.accepted) == 7


def test_a_generator_streams(at_sandbox):
    def invite() -> Iterator[dict[str, Any]]:
        yield from people(300)

    run = run_task(task_of(invite))
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 300}


def test_a_generator_can_be_counted_before_the_first_send(at_sandbox):
    def invite() -> Iterator[dict[str, Any]]:
        yield from people(300)

    run = run_task(task_of(invite, max_invites=299))
    assert run.state == "failed"
    assert "300 people would be invited" in str(run.error)
    assert at_sandbox.requests_seen == 0


def test_the_address_of_a_file_is_read(at_sandbox, tmp_path):
    path = tmp_path / "list.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in people(5)))

    def invite(path: str) -> str:
        return path

    run = run_task(task_of(invite, str(path)))
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 5}


def test_what_the_function_gives_is_data_and_no_template(at_sandbox):
    def invite() -> list[dict[str, Any]]:
        return [{"to": f"+{number(0)}", "name": "{{ run_id }} {name}"}]

    run = run_task(task_of(invite))
    assert run.succeeded, run.error
    assert [sms.message for sms in at_sandbox.accepted] == ["Hello {{ run_id }} {name}, follow us at <link>"]


@pytest.mark.parametrize(("given", "words"), [(None, "NoneType"), ({"to": "+41"}, "dict"), ([1], "item 1")])
def test_something_else_than_a_list_is_an_error_before_the_first_send(at_sandbox, given, words):
    def invite() -> Any:
        return given

    run = run_task(task_of(invite))
    assert run.state == "failed"
    assert "invites: " in str(run.error)
    assert words in str(run.error)


@needs_runner
def test_the_function_gets_the_context_and_what_it_was_called_with_is_not_shown(at_sandbox):
    def invite(customers: list[dict[str, Any]], extra: str, ds: str | None = None, **context: Any) -> Any:
        assert ds == "2026-01-01"
        assert context["ti"].task_id == "invite"
        assert extra == "run-1"
        return customers

    run = run_task(task_of(invite, people(3), "{{ run_id }}"))
    assert run.succeeded, run.error
    assert run.rendered["op_args"] == "['<list of 3 rows>', '<text of 5 characters>']" or run.rendered["op_args"] == [
        "<list of 3 rows>",
        "<text of 5 characters>",
    ]
    assert number(0) not in json.dumps(run.rendered, default=str)
    assert "return_value" in run.xcom
    assert number(0) not in json.dumps(run.xcom, default=str)


@pytest.mark.skipif(not HAS_STATE_STORE, reason="Airflow has a task state store from 3.3 on")
def test_what_comes_after_a_deferral_calls_the_function_again_and_sends_to_nobody_twice(at_sandbox):
    zones = iter([NIGHT, DAY])

    def invite() -> Any:
        return [*people(3, zone=DAY), {"to": f"+{number(9)}", "name": "x", "zone": next(zones)}]

    task = task_of(invite, send_window=HOURS, time_zone_column="zone")
    store: dict[str, Any] = {}
    first = run_task(task, store=store)
    assert (first.state, counts(first)) == ("deferred", {"accepted": 3, "held": 1})
    last = run_task(task_of(invite, send_window=HOURS, time_zone_column="zone"), store=store, resume=first.deferral)
    assert last.succeeded, last.error
    assert counts(last) == {"accepted": 4}
    assert at_sandbox.requests_seen == 4


def test_the_decorator_is_registered_under_its_name():
    from airflow_provider_omnichat.get_provider_info import get_provider_info

    (entry,) = get_provider_info()["task-decorators"]
    assert entry["name"] == "omnichat_invite"
    assert entry["class-name"].rpartition(".")[2] == omnichat_invite_task.__name__
