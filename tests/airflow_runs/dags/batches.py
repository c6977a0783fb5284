"""A batch whose worker the test kills again and again."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path

import pendulum
from airflow.providers.common.compat.sdk import dag

from airflow_provider_omnichat.operators.omnichat import SendInviteBatchOperator

MARKS = Path(os.environ["OMNICHAT_TEST_MARKS"])

# The same connection, with a short time-out for the answers that never come.
connection = json.loads(os.environ["AIRFLOW_CONN_OMNICHAT_DEFAULT"])
connection["extra"] = {**connection["extra"], "timeout": 2}
os.environ["AIRFLOW_CONN_OMNICHAT_HASTY"] = json.dumps(connection)


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False)
def killed_batch() -> None:
    SendInviteBatchOperator(
        task_id="invite",
        invites=str(MARKS / "list.jsonl"),
        message="Dear {name}, come to <link>",
        omnichat_conn_id="omnichat_hasty",
        key_column="customer_id",
        results_path=str(MARKS / "results"),
        retry_budget=30,
        retries=40,
        retry_delay=timedelta(seconds=0.1),
    )


killed_batch()
