"""Repeats of the sync client: only what was certainly not sent, and only within the budget."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from airflow_provider_omnichat.api import client
from airflow_provider_omnichat.api.outcomes import Outcome
from tests.support.both_clients import not_sent
from tests.support.clocks import SetClock
from tests.support.example_invite import MESSAGE, NUMBER
from tests.support.patience import PATIENCE_SECONDS
from tests.support.wire_server import answer, refused_port


@pytest.fixture
def clock(monkeypatch):
    """The clock of the client, whose waits take no time."""
    made = SetClock()
    monkeypatch.setattr(client, "time", made)
    return made


def test_no_connection_is_tried_again_within_the_budget(hook_for, clock):
    begin = clock.now
    not_sent(hook_for(f"http://127.0.0.1:{refused_port()}", retry_budget=1.0), "sync")
    assert 0.2 <= clock.now - begin <= 1.0


def test_429_to_the_end_of_the_budget_is_not_sent(sandbox, hook_for, clock):
    sandbox.set_faults(["429"])
    error = not_sent(hook_for(sandbox, retry_budget=1.2), "sync")
    assert (error.http_status, error.outcome, error.retryable) == (429, Outcome.NOT_SENT, True)
    assert 2 <= sandbox.requests_seen <= 3
    assert sandbox.accepted == []


def test_a_budget_of_0_is_a_single_attempt(sandbox, hook_for):
    sandbox.set_faults(["429"])
    not_sent(hook_for(sandbox), "sync")
    assert sandbox.requests_seen == 1


@pytest.mark.parametrize("fault", ["429-retry-after:0.5", "429-retry-after-date:2", "503-retry-after:0.5"])
def test_retry_after_in_seconds_or_as_a_date_is_waited_for_and_the_invite_sent_once(sandbox, hook_for, fault, clock):
    sandbox.script(fault, "ok")
    begin = clock.now
    hook_for(sandbox, retry_budget=PATIENCE_SECONDS).send_invite(NUMBER, MESSAGE)
    assert 0.45 <= clock.now - begin <= 3.5
    assert sandbox.requests_seen == 2
    assert len(sandbox.accepted) == 1


@pytest.mark.parametrize("after", [lambda: "86400", lambda: formatdate(time.time() + 86_400, usegmt=True)])
def test_a_retry_after_that_does_not_fit_the_budget_gives_up_at_once(wire, hook_for, after):
    server = wire(answer(429, {}, f"Retry-After: {after()}"))
    before = time.time()
    error = not_sent(hook_for(server, retry_budget=43_200), "sync")
    assert error.retry_after is not None
    assert 86_400 - (time.time() - before) - 1 <= error.retry_after <= 86_400
    assert len(server.seen) == 1


def test_a_retry_after_in_the_past_is_no_wait(wire, hook_for):
    server = wire(answer(503, {}, "Retry-After: Thu, 01 Jan 1970 00:00:00 GMT"))
    hook_for(server, retry_budget=PATIENCE_SECONDS).send_invite(NUMBER, MESSAGE)
    assert len(server.seen) == 2
