"""A batch of which some have to wait for their morning; the test kills its worker before and after the wait."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import dag

from airflow_provider_omnichat.operators.omnichat import SendInviteBatchOperator, SendWindow

MARKS = Path(os.environ["OMNICHAT_TEST_MARKS"])


def invites(**given: Any) -> None:
    SendInviteBatchOperator(
        task_id="invite",
        invites=str(MARKS / "list.jsonl"),
        message="Dear {name}, come to <link>",
        key_column="customer_id",
        results_path=str(MARKS / "results"),
        send_window=SendWindow("09:00", "20:00", zone_column="zone"),
        # Slow enough to be met under way.
        rate_limit=8,
        concurrency=2,
        retries=5,
        retry_delay=timedelta(seconds=0.1),
        **given,
    )


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False)
def window_with_state_store() -> None:
    invites()


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False)
def window_with_database() -> None:
    invites(ledger_conn_id="omnichat_ledger", campaign="{{ run_id }}")


window_with_state_store()
window_with_database()
