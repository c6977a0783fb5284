"""What a person watches, settles and approves in a browser."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import AirflowOptionalProviderFeatureException, dag

from airflow_provider_omnichat.operators.omnichat import SendInviteBatchOperator

LIST: dict[str, Any] = {
    "invites": str(Path(os.environ["OMNICHAT_TEST_MARKS"]) / "browsed.jsonl"),
    "message": "Dear {name}, come to <link>",
    "key_column": "customer_id",
    "concurrency": 1,
}
START = pendulum.datetime(2026, 1, 1, tz="UTC")


@dag(schedule=None, start_date=START, catchup=False)
def browsed() -> None:
    # Slow enough to be watched, and patient with a busy vendor.
    SendInviteBatchOperator(
        task_id="send",
        campaign="browsed {{ run_id }}",
        ledger_conn_id="omnichat_ledger",
        rate_limit=4,
        retry_budget=600,
        retries=1,
        retry_delay=timedelta(seconds=3),
        **LIST,
    )


def browsed_approval() -> None:
    from airflow.providers.standard.operators.hitl import ApprovalOperator

    preview: Any = SendInviteBatchOperator(task_id="preview", dry_run=True, **LIST)
    approve = ApprovalOperator(task_id="approve", subject="Send it?", body=preview.output["markdown"])
    send = SendInviteBatchOperator(task_id="send", approved=preview.output["fingerprint"], **LIST)
    preview >> approve >> send


browsed()
with suppress(ImportError, AirflowOptionalProviderFeatureException):  # approvals came with Airflow 3.1
    dag(schedule=None, start_date=START, catchup=False)(browsed_approval)()
