"""One task of each kind without a database of its own, and some with one, to be cleared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_omnichat.operators.omnichat import SendInviteBatchOperator, SendInviteOperator
from airflow_provider_omnichat.transfers.sql_to_omnichat import SqlToOmnichatInviteOperator

MESSAGE = "Come to <link>"
LEDGER: dict[str, Any] = {"ledger_conn_id": "omnichat_ledger"}


def people(kind: int) -> list[dict[str, Any]]:
    return [{"to": f"+4179100{kind}{row:03}"} for row in range(3)]


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False)
def cleared() -> None:
    SendInviteOperator(task_id="single", to="+41791000000", message=MESSAGE)
    SendInviteBatchOperator(task_id="batch", invites=people(1), message=MESSAGE)
    SqlToOmnichatInviteOperator(
        task_id="transfer",
        conn_id="omnichat_ledger",
        sql="SELECT '+41791002000' AS mobile UNION SELECT '+41791002001'",
        to_column="mobile",
        message=MESSAGE,
    )

    @task.omnichat_invite(message=MESSAGE)
    def decorated() -> Iterator[dict[str, Any]]:
        yield from people(3)

    decorated()
    SendInviteBatchOperator(task_id="with_ledger", invites=people(4), message=MESSAGE, **LEDGER)
    SendInviteBatchOperator.partial(task_id="parts", message=MESSAGE, **LEDGER).expand(invites=[people(5), people(5)])
    SendInviteOperator.partial(task_id="mapped", message=MESSAGE, max_active_tis_per_dagrun=1, **LEDGER).expand(
        to=["+41791006000", "+41791006000", "+41791006001"]
    )


cleared()
