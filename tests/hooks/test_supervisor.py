"""The threads of a campaign talk to the process that supervises the task one at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_omnichat.campaign.engine import progress
from airflow_provider_omnichat.hooks.omnichat import OmnichatHook
from airflow_provider_omnichat.hooks.supervisor import in_turn
from airflow_provider_omnichat.operators.omnichat import SendInviteBatchOperator
from tests.support.airflow_harness import run_task
from tests.support.airflow_versions import needs_runner, needs_store
from tests.support.batch_tasks import MESSAGE, people
from tests.support.both_clients import accepted


class Crowd:
    """Sees how many threads are in the channel at once; gives variables their value."""

    def __init__(self) -> None:
        self.inside = self.most = 0
        self.threads: set[str] = set()

    def __call__(self, message: Any) -> Any:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.threads.add(threading.current_thread().name.split("_")[0])
        time.sleep(0.002)
        self.inside -= 1
        if type(message).__name__ == "GetVariable":
            from airflow.sdk.execution_time.comms import VariableResult

            return VariableResult(key=message.key, value="Hi")
        return None


@needs_store
def test_one_thread_at_a_time_talks_to_the_supervisor(at_sandbox, monkeypatch):
    from airflow.sdk import Variable

    monkeypatch.setattr(progress, "_SAMPLE_EVERY_SECONDS", 0.01)
    monkeypatch.setattr(progress, "_PUBLISH_EVERY_SECONDS", 0.01)

    def rows() -> Iterator[dict[str, Any]]:
        for each in people(120):
            yield {**each, "word": Variable.get("word")}

    crowd = Crowd()
    task = SendInviteBatchOperator(task_id="invite", invites=rows(), message=MESSAGE, rate_limit=400)
    run = run_task(task, on_message=crowd)
    assert run.succeeded, run.error
    assert {"omnichat-rows", "omnichat-ledger"} <= crowd.threads
    assert crowd.threads & {"asyncio", "uvloop"}, "the threads of the event loop, by which progress is pushed"
    assert crowd.most == 1


@needs_runner
def test_a_channel_with_a_lock_of_its_own_needs_no_other(monkeypatch):
    from airflow.sdk.execution_time import task_runner

    channel = type("Channel", (), {"_thread_lock": threading.Lock()})()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", channel, raising=False)
    assert in_turn(len) is len
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", None)
    assert in_turn(len) is len, "without a supervisor, nobody waits for another"


@pytest.fixture
def crowded(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk.execution_time import task_runner

    # Airflow 3.0 tells its supervisor of each secret.
    channel = SimpleNamespace(send=lambda message: None, send_request=lambda log, message: None)
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", channel, raising=False)


@needs_runner
def test_what_may_be_left_out_does_not_wait_for_long(crowded):
    begun, end = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        end.wait(10)

    other = threading.Thread(target=in_turn(hold))
    other.start()
    begun.wait(10)
    assert in_turn(len, seconds=0.01)("abc") is None
    end.set()
    other.join()
    assert in_turn(len, seconds=10)("abc") == 3


@needs_runner
def test_a_token_is_masked_without_holding_up_the_event_loop(crowded, hook_for, sandbox, monkeypatch):
    from airflow_provider_omnichat.hooks import omnichat

    masked: list[tuple[str, bool]] = []
    told = threading.Event()

    def mask(secret: str) -> None:
        masked.append((secret, threading.current_thread() is threading.main_thread()))
        told.set()

    ours = sandbox.credentials
    hook: OmnichatHook = hook_for(
        sandbox, login=ours.client_id, password=ours.client_secret, extra={"auth_type": "oauth2"}
    )
    assert hook.account.base_url
    monkeypatch.setattr(omnichat, "mask_secret", mask)
    accepted(hook, "async")
    assert told.wait(10)
    ((token, in_main_thread),) = masked
    assert len(token) > 20
    assert not in_main_thread
