"""A batch without a SQL ledger, and a task that looks up what it leaves in doubt."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pendulum
from airflow.providers.common.compat.sdk import dag

from airflow_provider_omnichat.operators.omnichat import SendInviteBatchOperator, SettleInvitesOperator

MARKS = Path(os.environ["OMNICHAT_TEST_MARKS"])
PEOPLE = str(MARKS / "settled.jsonl")

# Everybody is an admin there.
connection = {"conn_type": "http", "host": os.environ["AIRFLOW__API__BASE_URL"], "login": "robot", "password": "robot"}
os.environ["AIRFLOW_CONN_AIRFLOW_API"] = json.dumps(connection)


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False)
def settled() -> None:
    send = SendInviteBatchOperator(
        task_id="send",
        invites=PEOPLE,
        message="Come to <link>",
        key_column="customer_id",
        results_path=str(MARKS / "settled"),
        concurrency=1,
        rate_limit=5,
    )
    settle = SettleInvitesOperator(
        task_id="settle",
        send_task_id="send",
        invites=PEOPLE,
        api_conn_id="airflow_api",
        trigger_rule="all_done",
    )
    send >> settle


settled()
