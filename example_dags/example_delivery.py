"""
Invites, and what became of them: a batch, then a sensor that waits without a worker until they are delivered.

Experimental: whether the vendor's SMS logs contain invites is not documented. `make demo-ui` shows it against the
sandbox, whose invites are delivered within half a minute.
"""

from __future__ import annotations

import logging

import pendulum
from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_omnichat.operators.omnichat import SendInviteBatchOperator
from airflow_provider_omnichat.sensors.omnichat import InviteDeliverySensor

log = logging.getLogger(__name__)


@dag(
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    tags=["example", "omnichat"],
    doc_md="""
    ### Were they delivered?

    It needs the connections `omnichat_default`, whose key may read the SMS logs (scope `sms:logs:read`), and
    `omnichat_ledger`: status, time and price of each invite are written to the ledger.
    """,
)
def example_delivery() -> None:
    @task
    def report(delivery: dict[str, int]) -> str:
        said = ", ".join(f"{count} {state}" for state, count in delivery.items() if count)
        log.info("What became of them: %s", said)
        return said

    send = SendInviteBatchOperator(
        task_id="send_invites",
        invites=[
            {"customer_id": "C-1", "to": "+44 7700 900123", "first_name": "Ada"},
            {"customer_id": "C-2", "to": "+33 6 39 98 12 34", "first_name": "Emilie"},
            {"customer_id": "C-3", "to": "+46 70 174 06 33", "first_name": "Hedvig"},
        ],
        key_column="customer_id",
        message="Hi {first_name}, questions? We are here to chat: <link>",
        ledger_conn_id="omnichat_ledger",
    )
    delivery = InviteDeliverySensor(
        task_id="wait_for_delivery",
        invites=send.output,
        min_delivered_ratio=0.5,
        # After an hour: what is not known by then is reported, and fails nothing.
        timeout=3600,
        on_timeout="succeed",
        poke_interval=10,
        deferrable=True,
    )
    report(delivery.output)


example_delivery()
