"""A named campaign that is run again while, and after, another run sends."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pendulum
from airflow.providers.common.compat.sdk import dag

from airflow_provider_omnichat.operators.omnichat import SendInviteBatchOperator

PEOPLE = [{"to": f"+4479460{position:05d}", "id": f"c{position}"} for position in range(3)]

# The same connection, with time to kill the worker while it waits for an answer.
connection = json.loads(os.environ["AIRFLOW_CONN_OMNICHAT_DEFAULT"])
connection["extra"] = {**connection["extra"], "timeout": 120}
os.environ["AIRFLOW_CONN_OMNICHAT_PATIENT"] = json.dumps(connection)


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False, max_active_runs=4)
def run_again() -> None:
    SendInviteBatchOperator(
        task_id="invite",
        invites=PEOPLE,
        message="Dear zebra, come to <link>",
        omnichat_conn_id="omnichat_patient",
        key_column="id",
        campaign="again",
        ledger_conn_id="omnichat_ledger",
        results_path=str(Path(os.environ["OMNICHAT_TEST_MARKS"]) / "again"),
        concurrency=1,
    )


run_again()
