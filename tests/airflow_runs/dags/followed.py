"""A batch, and a sensor that follows it while the test kills the triggerer."""

from __future__ import annotations

import os
from pathlib import Path

import pendulum
from airflow.providers.common.compat.sdk import dag

from airflow_provider_omnichat.operators.omnichat import SendInviteBatchOperator
from airflow_provider_omnichat.sensors.omnichat import InviteDeliverySensor

MARKS = Path(os.environ["OMNICHAT_TEST_MARKS"])


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False)
def followed_batch() -> None:
    send = SendInviteBatchOperator(
        task_id="invite",
        invites=str(MARKS / "followed.jsonl"),
        message="Come to <link>",
        results_path=str(MARKS / "followed"),
    )
    InviteDeliverySensor(task_id="delivery", invites=send.output, poke_interval=1, deferrable=True)


followed_batch()
