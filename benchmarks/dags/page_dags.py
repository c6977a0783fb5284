"""One invite with results, for the pages that are measured."""

from __future__ import annotations

import os

import pendulum
from airflow.sdk import dag

from airflow_provider_omnichat.operators.omnichat import SendInviteBatchOperator


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False)
def pages() -> None:
    SendInviteBatchOperator(
        task_id="invite",
        invites=[{"to": "+41793026727", "id": "C-first"}],
        message="Follow us: <link>",
        key_column="id",
        results_path=os.environ.get("OMNICHAT_BENCHMARK_RESULTS"),
    )


pages()
