"""Which invite in doubt is repeated first: one whose repeat tells whether all may be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from airflow_provider_omnichat.sandbox import Sandbox, Settings
from tests.support.airflow_harness import run_task
from tests.support.airflow_versions import needs_store
from tests.support.batch_tasks import batch, counts, people

pytestmark = needs_store


@pytest.fixture
def vendor(connection: Callable[..., Any]) -> Iterator[Callable[..., Sandbox]]:
    """Start a sandbox that plays faults, and set the connection with idempotent sending to it."""
    with ExitStack() as opened:

        def start(repeated_ids: str, *faults: str, log_delay: float) -> Sandbox:
            settings = Settings(repeated_ids=repeated_ids, delivery_after=(0.0, 0.0))
            sandbox = opened.enter_context(Sandbox(seed=1, settings=settings))
            user, password = sandbox.auth
            extra = {"idempotent_sending": True, "log_delay": log_delay, "timeout": 60}
            connection(sandbox.url, login=user, password=password, extra=extra)
            sandbox.script(*faults)
            return sandbox

        yield start


def run(count: int, **given: Any) -> Any:
    return run_task(batch(people(count), link="https://t.me/acme_bot?start={id}", concurrency=1, **given))


def repeated(sandbox: Sandbox) -> list[str]:
    """The numbers of requests whose id had come before, in their order."""
    seen: set[str | None] = set()
    found = []
    for receipt in sandbox.outbox:
        found += [receipt.to] if receipt.message_id in seen else []
        seen.add(receipt.message_id)
    return found


@pytest.mark.parametrize("repeated_ids", ["late", "at-once"])
def test_one_that_the_vendor_has_taken_is_repeated_before_those_it_has_not(vendor, repeated_ids):
    sandbox = vendor(repeated_ids, *["drop-before"] * 3, "drop-after", log_delay=3600)
    ended = run(6)
    assert ended.succeeded, ended.error
    assert counts(ended) == {"accepted": 6}
    (taken,) = [receipt.to for receipt in sandbox.outbox if receipt.fault == "drop-after"]
    assert repeated(sandbox)[0] == taken
    assert set(Counter(receipt.to for receipt in sandbox.accepted).values()) == {1}


@pytest.mark.slow
def test_if_the_vendor_has_taken_none_they_are_repeated_one_at_a_time(vendor):
    sandbox = vendor("late", *["drop-before"] * 3, log_delay=1)
    ended = run(5)
    assert ended.succeeded, ended.error
    assert counts(ended) == {"accepted": 5}
    assert len(repeated(sandbox)) == 3
    assert not any(receipt.suppressed for receipt in sandbox.outbox)


@pytest.mark.slow
def test_a_repeat_that_is_not_answered_is_the_next_one_too(vendor):
    sandbox = vendor("late", "drop-after", "drop-after", "ok", "drop-before", log_delay=3600)
    ended = run(3)
    assert ended.succeeded, ended.error
    first, second, *_ = repeated(sandbox)
    assert first == second
    assert set(Counter(receipt.to for receipt in sandbox.accepted).values()) == {1}


def test_a_vendor_that_ignores_ids_hits_one_person_whatever_it_had_taken(vendor):
    sandbox = vendor("ignored", "drop-before", *["drop-after"] * 4, log_delay=3600)
    ended = run(8)
    assert ended.state == "failed"
    assert "idempotent sending is not enabled" in str(ended.error)
    assert sorted(Counter(receipt.to for receipt in sandbox.accepted).values())[-2:] == [1, 2]
