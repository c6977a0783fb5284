"""What `make matrix` runs on each Airflow: a task of every kind that sends, and one that follows."""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import dag

from airflow_provider_omnichat.operators.omnichat import SendInviteBatchOperator, SendInviteOperator
from airflow_provider_omnichat.sensors.omnichat import InviteDeliverySensor
from airflow_provider_omnichat.transfers.sql_to_omnichat import SqlToOmnichatInviteOperator

# From a range reserved for films and examples; each task has its own tens.
NUMBER = "+4477009001%02d"


# One task at a time: a busy machine answers the start of a task within the five seconds that Airflow 3.0 waits.
@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False, max_active_tasks=1)
def matrix() -> None:
    SendInviteOperator(task_id="single", to=NUMBER % 10, message="Questions? <link>")
    batch = SendInviteBatchOperator(
        task_id="batch",
        invites=[{"id": f"B-{i}", "to": NUMBER % (20 + i)} for i in range(5)],
        message="Questions? <link>",
        key_column="id",
        ledger_conn_id="omnichat_ledger",
    )
    InviteDeliverySensor(task_id="delivery", invites=batch.output, poke_interval=1, timeout=300)
    SqlToOmnichatInviteOperator(
        task_id="transfer",
        sql="SELECT id, phone FROM people ORDER BY id",
        conn_id="omnichat_warehouse",
        to_column="phone",
        key_column="id",
        message="Questions? <link>",
        results_table="sent",
    )
    mapped = SendInviteOperator.partial(task_id="mapped", message="Questions? <link>", ledger_conn_id="omnichat_ledger")
    mapped.expand(to=[NUMBER % 40, NUMBER % 41])


matrix()
