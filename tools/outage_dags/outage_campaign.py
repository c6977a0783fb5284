"""One list in eight partitions over two Celery workers, each with its own queue."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import dag

from airflow_provider_omnichat.operators.omnichat import SendInviteBatchOperator

PARTS = 8
# More tries than usual: each ends red while an invite is in doubt.
OWN_LINK = {"link": "https://t.me/acme_bot?start={name}", "sender": "ACME", "retries": 30}
ROUTE: dict[str, Any] = OWN_LINK if os.environ["OUTAGE_OWN_LINK"] else {"retries": 5}


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False)
def outage() -> None:
    for queue, parts in (("left", range(PARTS // 2)), ("right", range(PARTS // 2, PARTS))):
        SendInviteBatchOperator.partial(
            task_id=f"send_{queue}",
            queue=queue,
            invites=os.environ["OUTAGE_PEOPLE"],
            message="Hi {name}, chat with us: <link>",
            campaign="outage",
            ledger_conn_id="ledger",
            concurrency=int(os.environ["OUTAGE_CONNECTIONS"]),
            on_unknown="hold",
            retry_delay=timedelta(seconds=2),
            **ROUTE,
        ).expand(partition=[[part, PARTS] for part in parts])


outage()
