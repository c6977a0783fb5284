"""Plain and mapped invites with XComArg inputs; ``python invites.py`` runs it by ``dag.test()``."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_omnichat.operators.omnichat import SendInviteOperator


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False)
def invites() -> None:
    @task(show_return_value_in_logs=False)
    def customers() -> list[dict[str, str]]:
        return [
            {"to": f"+44 7700 90020{index}", "message": f"Dear zebra {index}, come to <link>"} for index in range(1, 5)
        ]

    @task(show_return_value_in_logs=False)
    def somebody() -> dict[str, str]:
        return {"number": "07700 900200", "text": "Dear giraffe, come to {here}"}

    chosen: Any = somebody()
    SendInviteOperator(
        task_id="plain",
        to=chosen["number"],
        message=chosen["text"],
        link_placeholder="{here}",
        default_region="{{ 'GB' }}",
    )
    SendInviteOperator.partial(
        task_id="mapped", ledger_conn_id="omnichat_ledger", retries=1, retry_delay=timedelta(seconds=1), retry_budget=0
    ).expand_kwargs(customers())


made = invites()

if __name__ == "__main__":
    made.test()
