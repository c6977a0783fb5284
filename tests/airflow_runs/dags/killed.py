"""Invites whose worker is killed by the test, before and after the outcome is recorded."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import dag

from airflow_provider_omnichat.operators.omnichat import SendInviteOperator

INVITE: dict[str, Any] = {
    "to": "+44 7700 900300",
    "message": "Dear zebra, come to <link>",
    "retries": 2,
    "retry_delay": timedelta(seconds=0.1),
}


def wait_for_the_end(context: Any, result: Any = None) -> None:
    """On the first try, say that the invite is recorded, and stay until the test kills this process."""
    if context["ti"].try_number == 1:
        (Path(os.environ["OMNICHAT_TEST_MARKS"]) / "recorded").touch()
        time.sleep(120)


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False)
def killed_in_flight() -> None:
    SendInviteOperator(task_id="invite", **INVITE)


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False)
def killed_after_record() -> None:
    SendInviteOperator(task_id="invite", post_execute=wait_for_the_end, **INVITE)


killed_in_flight()
killed_after_record()
