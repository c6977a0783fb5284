"""Small lists that end in the other states of the pictures: a retry, a worker that died, a dry run before approval."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import dag

from airflow_provider_omnichat.operators.omnichat import Budget, SendInviteBatchOperator

START = pendulum.datetime(2026, 1, 1, tz="UTC")


def batch(task_id: str, first: int, **given: Any) -> SendInviteBatchOperator:
    people = [{"to": f"+4179{first + i}", "name": f"N{i}", "customer_id": f"C-{i}"} for i in range(200)]
    return SendInviteBatchOperator(
        task_id=task_id,
        invites=people,
        message="Hi {name}, your chat is open: <link>",
        key_column="customer_id",
        ledger_conn_id="omnichat_ledger",
        rate_limit=20,
        **given,
    )


@dag(schedule=None, start_date=START)
def reminder() -> None:
    batch("send_again", 4_000_000, campaign="reminder", retry_budget=0, retries=1, retry_delay=timedelta(minutes=10))


@dag(schedule=None, start_date=START)
def autumn() -> None:
    batch("send_until_killed", 5_000_000, campaign="autumn")


@dag(schedule=None, start_date=START)
def spring() -> None:
    budget = Budget(max_invites=1000, price_per_segment=0.06, currency="EUR", max_cost=100.0)
    preview: Any = batch("preview", 6_000_000, campaign="spring", dry_run=True, budget=budget)
    preview >> ApprovalOperator(task_id="approve", subject="Send it?", body=preview.output["markdown"])


reminder()
autumn()
spring()
