"""Batches that leave doubts and refusals, for what Airflow's UI shows of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import dag
from airflow.providers.standard.operators.empty import EmptyOperator

from airflow_provider_omnichat.operators.omnichat import SendInviteBatchOperator, SendInviteOperator

MARKS = Path(os.environ["OMNICHAT_TEST_MARKS"])


def batch(task_id: str, **given: Any) -> SendInviteBatchOperator:
    return SendInviteBatchOperator(
        task_id=task_id,
        invites=str(MARKS / f"{task_id}.jsonl"),
        message="Dear {name}, come to <link>",
        key_column="customer_id",
        # Slow enough to be watched.
        rate_limit=6,
        concurrency=2,
        **given,
    )


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False)
def tab() -> None:
    first = batch("to_files", results_path=str(MARKS / "tab-results"))
    second = batch(
        "to_ledger",
        ledger_conn_id="omnichat_ledger",
        campaign="tab {{ run_id }}",
        on_unknown="lookup",
        trigger_rule="all_done",
    )
    parts = SendInviteBatchOperator.partial(
        task_id="parts",
        message="Come to <link>",
        key_column="id",
        ledger_conn_id="omnichat_ledger",
        trigger_rule="all_done",
    ).expand(
        invites=[[{"to": f"+41791000{part}{row:02}", "id": f"P{part}-{row}"} for row in range(3)] for part in range(2)]
    )
    own: Any = {"message": "Come to <link>", "sender": "ACME", "trigger_rule": "all_done"}
    linked = SendInviteBatchOperator(
        task_id="linked",
        invites=[{"to": f"+4179222111{row}", "id": f"L-{row}"} for row in range(2)],
        link="https://t.me/acme_bot?start={id}",
        key_column="id",
        ledger_conn_id="omnichat_ledger",
        **own,
    )
    single = SendInviteOperator(task_id="single", to="+41791112233", link="https://t.me/acme_bot", **own)
    first >> second >> [parts, linked, single]
    EmptyOperator(task_id="nothing")


tab()
