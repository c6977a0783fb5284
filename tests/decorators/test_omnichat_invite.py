"""``@task.omnichat_invite``: what the function gives is sent, once, and shown nowhere."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_omnichat.campaign.preview.budget import Budget
from airflow_provider_omnichat.decorators.omnichat_invite import omnichat_invite_task
from tests.support.airflow_harness import START, run_task
from tests.support.airflow_versions import needs_runner, needs_store
from tests.support.batch_tasks import MESSAGE, counts, number, people
from tests.support.send_windows import DAY, NIGHT, window


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What remembers over tries, on every Airflow."""
    given = {"conn_type": "sqlite", "host": str(tmp_path / "ledger.sqlite")}
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps(given))
    return {"ledger_conn_id": "ledger"}


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

    run = run_task(task_of(invite, budget=Budget(max_invites=299)))
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


@pytest.mark.parametrize(("given", "words"), [(None, "NoneType"), ({"to": ["+41"]}, "dict"), ([1], "item 1")])
def test_something_else_than_a_list_is_an_error_before_the_first_send(at_sandbox, given, words):
    def invite() -> Any:
        return given

    run = run_task(task_of(invite))
    assert run.state == "failed"
    assert "invites: " in str(run.error)
    assert words in str(run.error)


SECRET = f"+{number(77)}"


def failing(how: str, error: BaseException) -> Any:
    """A function that gives three rows, or would, and fails."""

    def at_once() -> Any:
        raise error

    def midway() -> Iterator[dict[str, Any]]:
        yield from people(3)
        raise error

    class Rows:
        def __iter__(self) -> Iterator[dict[str, Any]]:
            return midway()

    def iterable() -> Any:
        return Rows()

    return {"at once": at_once, "midway": midway, "iterable": iterable}[how]


@pytest.mark.parametrize("how", ["at once", "midway", "iterable"])
@pytest.mark.parametrize("given", [{"budget": Budget(max_invites=100)}, {"approved": "x"}, {"dry_run": True}, {}])
@pytest.mark.parametrize(
    "error", [ValueError(f"{SECRET} of Anna Müller is odd"), KeyError("Anna Müller"), OSError(f"no {SECRET}")]
)
def test_a_function_that_fails_is_an_ordinary_failure_without_its_text(at_sandbox, ledger, caplog, how, given, error):
    run = run_task(task_of(failing(how, error), retries=2, **given, **ledger), retries=2)
    assert run.state == "up_for_retry", run.error
    told = str(run.error)
    assert told.startswith(f"The list cannot be read to its end ({type(error).__name__} at line ")
    shown = "".join(traceback.format_exception(run.error)) + caplog.text + str(run.xcom)
    assert SECRET[1:] not in shown
    assert "Anna" not in shown
    assert at_sandbox.requests_seen == 0
    if how != "at once" and not given:
        assert "Sending was stopped.\nSo far, 3 rows: 3 not sent." in told
    else:  # where in the user's code
        assert "in at_once" in shown or "in midway" in shown


def test_a_function_that_failed_is_called_again_by_the_retry_and_nobody_gets_a_second_sms(at_sandbox, ledger):
    fails = iter([True, False])

    def invite() -> Iterator[dict[str, Any]]:
        yield from people(300)
        if next(fails):
            raise ValueError("not yet")
        yield {"to": f"+{number(300)}", "name": "Z"}

    first = run_task(task_of(invite, retries=2, **ledger), retries=2)
    assert first.state == "up_for_retry"
    where = f"line {invite.__code__.co_firstlineno + 3} of test_omnichat_invite.py"
    assert f"The list cannot be read to its end (ValueError at {where}).\nSending was stopped." in str(first.error)
    assert 0 < at_sandbox.requests_seen <= 300
    run = run_task(task_of(invite, retries=2, **ledger), retries=2, try_number=2)
    assert run.succeeded, run.error
    assert sorted(sms.to for sms in at_sandbox.accepted) == [number(i) for i in range(301)]


@needs_runner
@pytest.mark.parametrize("how", ["at once", "midway"])
@pytest.mark.parametrize(("error", "state"), [(AirflowSkipException, "skipped"), (AirflowFailException, "failed")])
def test_what_the_function_says_to_airflow_holds(at_sandbox, ledger, how, error, state):
    run = run_task(
        task_of(failing(how, error("not today")), retries=2, budget=Budget(max_invites=100), **ledger), retries=2
    )
    assert (run.state, at_sandbox.requests_seen) == (state, 0)


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


@needs_store
def test_what_comes_after_a_deferral_calls_the_function_again_and_sends_to_nobody_twice(at_sandbox):
    zones = iter([NIGHT, DAY])

    def invite() -> Any:
        return [*people(3, zone=DAY), {"to": f"+{number(9)}", "name": "x", "zone": next(zones)}]

    task = task_of(invite, send_window=window())
    store: dict[str, Any] = {}
    first = run_task(task, store=store)
    assert (first.state, counts(first)) == ("deferred", {"accepted": 3, "held": 1})
    last = run_task(task_of(invite, send_window=window()), store=store, resume=first.deferral)
    assert last.succeeded, last.error
    assert counts(last) == {"accepted": 4}
    assert at_sandbox.requests_seen == 4


def test_the_decorator_is_registered_under_its_name():
    from airflow_provider_omnichat.get_provider_info import get_provider_info

    (entry,) = get_provider_info()["task-decorators"]
    assert entry["name"] == "omnichat_invite"
    assert entry["class-name"].rpartition(".")[2] == omnichat_invite_task.__name__
