"""Small lists in other states: empty, asleep, before a retry, without their worker, and to be approved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pendulum
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import dag

from airflow_provider_omnichat.operators.omnichat import Budget, SendInviteBatchOperator, SendWindow

START = pendulum.datetime(2026, 1, 1, tz="UTC")


def people(first: int, prefix: str = "+4179", count: int = 200) -> list[dict[str, str]]:
    """Invent some; every third lives where it is night now, the others where it is noon."""
    hour = datetime.now(UTC).hour
    night, noon = f"{-hour if hour <= 12 else 24 - hour:+03}:00", f"{12 - hour:+03}:00"
    return [
        {
            "to": f"{prefix}{first + i}",
            "name": f"N{i}",
            "customer_id": f"C-{1000 + i}",
            "zone": noon if i % 3 else night,
        }
        for i in range(count)
    ]


def batch(task_id: str, invites: list[dict[str, str]], **given: Any) -> SendInviteBatchOperator:
    return SendInviteBatchOperator(
        task_id=task_id,
        invites=invites,
        message="Hi {name}, your chat is open: <link>",
        key_column="customer_id",
        ledger_conn_id="omnichat_ledger",
        rate_limit=20,
        **given,
    )


@dag(schedule=None, start_date=START)
def autumn() -> None:
    batch("send_to_nobody", [])
    batch("send_by_day", people(4_000_000), send_window=SendWindow("09:00", "20:00", zone_column="zone"))
    # What the vendor refuses for now waits for the next try.
    batch("send_again", people(4_100_000), retry_budget=0, retries=1, retry_delay=timedelta(minutes=10))
    batch("send_until_killed", people(4_200_000))


@dag(schedule=None, start_date=START)
def spring() -> None:
    budget = Budget(max_invites=1000, price_per_segment=0.06, currency="EUR", max_cost=100.0)
    invites = [*people(4_300_120), *people(12_340_120, "+336", 120), *people(23_450_120, "+49151", 90)]
    invites += [invites[3], {"to": "none", "name": "N", "customer_id": "C-4711", "zone": "+00:00"}]
    window = SendWindow("09:00", "20:00", zone_column="zone")
    preview: Any = batch("preview", invites, campaign="spring", dry_run=True, budget=budget, send_window=window)
    question = "Send the spring campaign?"
    preview >> ApprovalOperator(task_id="approve", subject=question, body=preview.output["markdown"])


autumn()
spring()
