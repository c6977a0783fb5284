"""A doubt that a later try may repeat is left to Airflow's retries, which others are not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from airflow_provider_omnichat.campaign.ledger.task_state import StateStoreLedger
from tests.support.airflow_harness import run_task
from tests.support.airflow_versions import needs_store
from tests.support.batch_tasks import batch, counts, number, people
from tests.support.single_tasks import invite
from tests.support.sms_server import SmsServer

pytestmark = needs_store
LINK = {"link": "https://t.me/acme_bot"}


@pytest.fixture
def vendor(connection: Callable[..., Any]) -> Iterator[Callable[..., SmsServer]]:
    """Start a vendor that recognises ids, or does not (*is_on*), and set the connection to it."""
    with ExitStack() as opened:

        def start(*plays: str | int, is_on: bool = True, repeats: str = "late", **given: Any) -> SmsServer:
            server = opened.enter_context(SmsServer(repeats, *plays, **given))
            extra = {"idempotent_sending": is_on, "log_delay": 1, "timeout": 60}
            connection(server.url, extra={"application_key": "", "integration_type": "", **extra})
            return server

        yield start


@pytest.mark.slow
def test_a_list_whose_doubts_may_be_repeated_is_tried_again(vendor, ledger):
    server = vendor(*["drop-before"] * 3, logs_status=403)
    given = {"concurrency": 1, "retries": 1, **LINK, **ledger}
    first = run_task(batch(people(4), **given), retries=1)
    assert first.state == "up_for_retry", first.error
    assert counts(first)["unknown"] >= 2
    assert "another try sends those again" in str(first.error)
    server.logs_status = 200
    again = run_task(batch(people(4), **given), store=first.store, retries=1, try_number=2)
    assert again.succeeded, again.error
    assert server.sms == {number(index): 1 for index in range(4)}


def test_a_single_invite_that_may_be_repeated_is_tried_again(vendor, ledger):
    server = vendor("drop-before")
    first = run_task(invite(retries=1, **LINK, **ledger), retries=1)
    assert first.state == "up_for_retry", first.error
    assert "Another try sends it again under the same id" in str(first.error)
    again = run_task(invite(retries=1, **LINK, **ledger), store=first.store, retries=1, try_number=2)
    assert again.succeeded, again.error
    assert set(server.sms.values()) == {1}


def test_a_single_invite_is_not_tried_again_once_the_vendor_is_seen_to_ignore_ids(vendor, ledger):
    server = vendor(*["drop-after"] * 9, repeats="ignored")
    run = run_task(invite(retries=1, retry_budget=1.5, **LINK, **ledger), retries=1)
    assert set(server.sms.values()) == {2}
    assert run.state == "failed"
    assert "Set idempotent_sending to false" in str(run.error)


def test_whose_logs_cannot_be_read_gets_at_most_one_sms_too_many_of_a_vendor_that_ignores_ids(vendor, ledger):
    server = vendor(*["drop-after"] * 20, repeats="ignored", logs_status=403)
    store: dict[str, Any] = {}
    for number_of_try in (1, 2, 3):
        task = invite(retries=2, retry_budget=1.5, **LINK, **ledger)
        run = run_task(task, store=store, retries=2, try_number=number_of_try)
        assert run.state == ("failed" if number_of_try == 3 else "up_for_retry"), run.error
        store = run.store
    assert set(server.sms.values()) == {2}


def test_others_are_left_to_a_person(vendor, ledger):
    vendor("drop-before", "drop-before", is_on=False)
    of_list = run_task(batch(people(1), retries=1, **LINK, **ledger), retries=1)
    assert of_list.state == "failed"
    assert "are not sent again by themselves" in str(of_list.error)
    single = run_task(invite(task_id="single", retries=1, **LINK, **ledger), retries=1)
    assert single.state == "failed"
    assert "It is not sent again by itself" in str(single.error)


def test_what_the_logs_have_is_not_repeated_although_another_has_settled_it(vendor, ledger, monkeypatch):
    server = vendor("drop-after", "drop-after", logs_status=403)
    first = run_task(invite(retries=1, **LINK, **ledger), retries=1)
    assert first.state == "up_for_retry", first.error
    server.logs_status, asked = 200, len(server.requests)
    for kind in (SqlLedger, StateStoreLedger):
        monkeypatch.setattr(
            kind, "settle", lambda self, claims, settlements: dict.fromkeys(settlements, "not in doubt")
        )
    run_task(invite(retries=1, **LINK, **ledger), store=first.store, retries=1, try_number=2)
    assert len(server.requests) == asked
