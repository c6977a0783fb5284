"""A batch that is stopped: what was sent is known, and nothing is left running."""

from __future__ import annotations

import inspect
import os
import signal
import threading
from collections import Counter
from typing import Any

import pytest

from airflow_provider_omnichat.campaign.engine import batch as engine
from airflow_provider_omnichat.campaign.engine import process
from tests.support.airflow_harness import run_task
from tests.support.airflow_versions import needs_runner, needs_store
from tests.support.batch_tasks import batch, counts, people, rows_in
from tests.support.execution_timeout import NEVER, passes_when
from tests.support.patience import PATIENCE_SECONDS, wait_until

# being stopped


@needs_runner
def test_what_is_under_way_is_given_less_time_than_airflow_gives_the_task():
    from airflow.sdk.execution_time.supervisor import WatchedSubprocess

    patience = inspect.signature(WatchedSubprocess.kill).parameters["escalation_delay"].default
    assert 0 < process.GRACE_SECONDS < patience


@pytest.mark.timeout(method="thread")  # the alarm is the task's
@needs_store
def test_execution_timeout_records_what_was_sent_and_the_next_try_sends_only_the_rest(
    at_sandbox, tmp_path, capsys, monkeypatch
):
    for module in (engine, process):
        monkeypatch.setattr(module, "GRACE_SECONDS", PATIENCE_SECONDS)
    at_sandbox.set_faults(["latency:1:1"])
    store: dict[str, Any] = {}
    given = {"retries": 1, "results_path": str(tmp_path), "concurrency": 4}
    task = batch(people(200), execution_timeout=NEVER, **given)
    with passes_when(lambda: at_sandbox.requests_seen >= 8):
        first = run_task(task, store=store, retries=1)
    assert first.state == "up_for_retry"
    assert type(first.error).__name__ == "AirflowTaskTimeout"
    sent = len(at_sandbox.accepted)
    assert 8 <= sent <= 8 + 8  # a few may have been about to leave
    assert at_sandbox.requests_seen == sent
    assert sum(row.outcome == "accepted" for row in rows_in(tmp_path)) == sent
    manifest = first.xcom["return_value"]
    assert (counts(first)["accepted"], manifest["rows"]) == (sent, len(rows_in(tmp_path)))
    assert manifest["missing"] == 200 - manifest["rows"] > 0
    told = f"of 200 rows of the list were read; {manifest['missing']} have no outcome and no row in the results"
    log = capsys.readouterr()
    assert f"The task was stopped.\nSo far, {manifest['rows']} rows: " in log.out + log.err
    assert told in log.out + log.err
    at_sandbox.clear_faults()
    second = run_task(batch(people(200), **given), store=store, retries=1, try_number=2)
    assert second.succeeded, second.error
    assert counts(second) == {"accepted": 200}
    assert at_sandbox.requests_seen == 200
    assert [row.position for row in rows_in(tmp_path)] == list(range(1, 201))


@needs_store
@pytest.mark.parametrize("fault", ["latency:1:1", "hang-after:1"])
def test_on_kill_begins_no_request_records_those_under_way_and_ends_in_time(
    at_sandbox, hook_for, tmp_path, fault, monkeypatch
):
    hook_for(at_sandbox, extra={"timeout": 3600})  # so that a request that hangs ends because the task was stopped
    grace = 1.0 if fault.startswith("hang") else PATIENCE_SECONDS
    for module in (engine, process):
        monkeypatch.setattr(module, "GRACE_SECONDS", grace)
    at_sandbox.set_faults([fault])
    store: dict[str, Any] = {}
    task = batch(people(200), retries=1, results_path=str(tmp_path))
    killed: list[int] = []

    def kill() -> None:
        wait_until(lambda: at_sandbox.requests_seen >= 4)
        killed.append(at_sandbox.requests_seen)
        os.kill(os.getpid(), signal.SIGTERM)  # as Airflow's supervisor does; the runner calls on_kill

    killer = threading.Thread(target=kill)
    killer.start()
    before = signal.getsignal(signal.SIGTERM)
    try:
        first = run_task(task, store=store, retries=1)
        killer.join()
    finally:
        signal.signal(signal.SIGTERM, before)
    (seen,) = killed
    assert at_sandbox.requests_seen <= seen + 8  # a few may have been about to leave
    assert first.state == "up_for_retry"
    assert "The task was stopped" in str(first.error)
    found = counts(first)
    assert found.get("accepted", 0) + found.get("unknown", 0) == at_sandbox.requests_seen
    assert ("unknown" in found) is fault.startswith("hang")
    missing = first.xcom["return_value"]["missing"]
    assert missing == 200 - sum(found.values()) > 0
    assert f"of 200 rows of the list were read; {missing} have no outcome" in str(first.error)
    at_sandbox.clear_faults()
    second = run_task(batch(people(200), retries=1, results_path=str(tmp_path)), store=store, try_number=2)
    assert sum(counts(second).values()) == 200
    assert len(at_sandbox.accepted) == 200
    assert Counter(sms.to for sms in at_sandbox.accepted).most_common(1)[0][1] == 1
    assert [row.position for row in rows_in(tmp_path)] == list(range(1, 201))


# where it leaves traces


@needs_store
def test_nothing_is_left_running(at_sandbox):
    before = {thread.name for thread in threading.enumerate()}
    run_task(batch(people(20)))
    wait_until(lambda: {thread.name for thread in threading.enumerate()} <= before, "no thread is left")
