"""What a batch remembers, and a store, a database or a results path that cannot be trusted."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.api.privacy import mask_number
from tests.support.airflow_harness import run_task
from tests.support.airflow_versions import AIRFLOW, needs_runner, needs_store
from tests.support.batch_tasks import batch, counts, number, people, rows_in

# a store or a results path that cannot be trusted


def failing(nth: int, how: str) -> Any:
    """Make the *nth* message to the state store go wrong, or all of them slow."""
    from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
    from airflow.sdk.execution_time.comms import ErrorResponse, OKResponse

    calls = 0

    def on_message(message: Any) -> Any:
        nonlocal calls
        if "TaskStateStore" not in type(message).__name__:
            return None
        calls += 1
        if how == "slow":
            time.sleep(0.05)
            return None
        if calls != nth and not (how == "for good" and calls > nth):
            return None
        if how == "forgets":
            found = ErrorResponse(error=ErrorType.TASK_STORE_NOT_FOUND)
            return found if type(message).__name__.startswith("Get") else OKResponse(ok=True)
        raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"to": number(0)}))

    return on_message


@needs_store
@pytest.mark.parametrize(
    ("nth", "how"), [*((nth, how) for nth in range(1, 9) for how in ("once", "for good", "forgets")), (0, "slow")]
)
def test_a_state_store_that_fails_at_any_call_is_red_and_no_later_try_sends_twice(at_sandbox, tmp_path, nth, how):
    store: dict[str, Any] = {}
    given = {"retries": 3, "results_path": str(tmp_path), "concurrency": 8}
    run = run_task(batch(people(60), **given), store=store, retries=3, on_message=failing(nth, how))
    left_alone = how == "slow" or at_sandbox.requests_seen == 60
    assert run.succeeded or run.state == "up_for_retry"
    assert left_alone or not run.succeeded
    assert number(0) not in str(run.error)
    if how == "forgets" and nth > 5:
        return  # a store that says yes and forgets later on cannot be told from one that works
    for try_number in (2, 3):
        run = run_task(batch(people(60), **given), store=store, retries=3, try_number=try_number)
    assert sum(counts(run).values()) == 60
    assert Counter(sms.to for sms in at_sandbox.accepted).most_common(1)[0][1] == 1
    assert [row.position for row in rows_in(tmp_path)] == list(range(1, 61))
    assert {row.to for row in rows_in(tmp_path) if row.outcome in {"accepted", "unknown"}} >= {
        sms.to for sms in at_sandbox.accepted
    }


@needs_store
def test_the_default_ledger_names_who_is_claimed_and_who_is_in_doubt_and_no_whole_number(at_sandbox):
    at_sandbox.script("ok", "drop-after", "ok")
    store: dict[str, Any] = {}
    named: list[set[str]] = []

    def look(message: Any) -> Any:
        value = getattr(message, "value", None)
        if isinstance(value, dict) and "people" in value:
            named.append({key for key, *_ in value["people"].values()})

    run = run_task(batch(people(3), key_column="id", concurrency=1), store=store, on_message=look)
    assert counts(run) == {"accepted": 2, "unknown": 1}
    assert set.union(*named) == {"c0", "c1", "c2"}, "a worker that is killed leaves a name for each open claim"
    assert named[-1] == {"c1"}
    (kept,) = (value["people"] for value in store.values() if isinstance(value, dict) and "people" in value)
    assert [each[:2] for each in kept.values()] == [["c1", mask_number(number(1))]]
    assert not any(number(n) in json.dumps(store) for n in range(3))


@needs_store
def test_a_results_path_that_cannot_be_written_stops_the_batch_and_loses_nothing(at_sandbox, tmp_path):
    (tmp_path / "file").write_text("not a directory")
    store: dict[str, Any] = {}
    run = run_task(batch(people(300), results_path=str(tmp_path / "file"), retries=1), store=store, retries=1)
    assert run.state == "up_for_retry"
    assert "cannot be" in str(run.error)
    sent = len(at_sandbox.accepted)
    assert sent < 300
    again = run_task(batch(people(300), results_path=str(tmp_path / "ok"), retries=1), store=store, try_number=2)
    assert again.succeeded, again.error
    assert at_sandbox.requests_seen == len(at_sandbox.accepted) == 300
    assert [row.position for row in rows_in(tmp_path / "ok")] == list(range(1, 301))


@needs_store
def test_what_a_result_row_says_was_accepted_is_not_resent_although_the_ledger_lost_it(at_sandbox, tmp_path):
    store: dict[str, Any] = {}
    run_task(batch(people(20), results_path=str(tmp_path)), store=store)
    for key, value in store.items():
        if isinstance(value, dict) and "outcomes" in value:
            # Killed before the outcomes were written.
            count = len(value["outcomes"])
            people_of = {str(at): [None, None, 1] for at in range(count)}
            store[key] = {**value, "outcomes": "." * count, "people": people_of}
    again = run_task(batch(people(20), results_path=str(tmp_path), on_unknown="resend"), store=store, try_number=2)
    assert again.succeeded, again.error
    assert counts(again) == {"accepted": 20}
    assert at_sandbox.requests_seen == 20
    assert len(rows_in(tmp_path)) == 20


# the SQL ledger


@pytest.fixture
def ledger(monkeypatch, tmp_path):
    pytest.importorskip("airflow.providers.sqlite.hooks.sqlite")
    if AIRFLOW < (3, 0):
        pytest.skip("Airflow 2 has no task runner of its own")
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "l.sqlite")}))
    return {"ledger_conn_id": "ledger", "campaign": "welcome"}


def test_a_campaign_invites_each_number_once_over_all_tasks(at_sandbox, ledger, tmp_path):
    first = run_task(batch(people(50), **ledger, task_id="one"))
    assert counts(first) == {"accepted": 50}
    assert first.xcom["return_value"]["results"] == "table omnichat_invites of connection ledger"
    second = run_task(batch(people(80), **ledger, task_id="other", results_path=str(tmp_path / "results")))
    assert second.succeeded, second.error
    assert counts(second) == {"accepted": 30, "duplicate": 50}
    assert "already invited in this campaign" in str(rows_in(tmp_path / "results")[0].error)
    on_purpose = run_task(batch(people(5), **ledger, task_id="one", resend_key="again"))
    assert counts(on_purpose) == {"accepted": 5}
    assert at_sandbox.requests_seen == 85


def test_the_ledger_database_is_closed_at_the_end(at_sandbox, ledger, tmp_path):
    run_task(batch(people(5), **ledger))
    open_files = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert tmp_path / "l.sqlite" not in open_files


@needs_runner
def test_what_one_task_of_a_campaign_could_not_send_another_sends(at_sandbox, ledger):
    at_sandbox.script("ok", "401")
    one = run_task(batch(people(10), **ledger, task_id="one", concurrency=1, retries=1), retries=1)
    assert counts(one) == {"accepted": 1, "not_sent": 9}
    other = run_task(batch(people(10), **ledger, task_id="other"))
    assert counts(other) == {"accepted": 9, "duplicate": 1}
    again = run_task(batch(people(10), **ledger, task_id="one", retries=1), retries=1, try_number=2)
    assert counts(again) == {"accepted": 1, "duplicate": 9}
    assert len(at_sandbox.accepted) == 10


@needs_runner
def test_a_ledger_database_that_is_gone_sends_nothing(at_sandbox, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({"conn_type": "sqlite", "host": "/no/such/place/l.sqlite"}))
    run = run_task(batch(people(10), ledger_conn_id="ledger", retries=1), retries=1)
    assert run.state == "up_for_retry"
    assert at_sandbox.requests_seen == 0
