"""The campaign of the pictures: 2,000 invented people, and a vendor with faults."""

from __future__ import annotations

import pendulum
from airflow.sdk import dag, task

from airflow_provider_omnichat.operators.omnichat import SendInviteBatchOperator


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"))
def welcome() -> None:
    @task
    def customers() -> list[dict[str, str]]:
        people = [{"to": f"+4179{3_000_000 + i}", "name": f"N{i}", "customer_id": f"C-{i}"} for i in range(1000, 3000)]
        return [*people, people[3], {"to": "none", "name": "N", "customer_id": "C-4711"}]

    SendInviteBatchOperator(
        task_id="send_invites",
        invites=customers(),
        message="Hi {name}, your chat is open: <link>",
        key_column="customer_id",
        campaign="welcome-2026",
        ledger_conn_id="omnichat_ledger",
        rate_limit=100,
        retry_budget=30,
    )


welcome()
