"""A task and a DAG that fail, and tell the person on duty."""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_omnichat.notifications.omnichat import OmnichatInviteNotifier


def told(message: str) -> OmnichatInviteNotifier:
    return OmnichatInviteNotifier(to="+44 7700 900200", message=message)


of_task = told("{{ ti.task_id }}, try {{ ti.try_number }}: <link>")


@dag(
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    on_failure_callback=told("{{ dag.dag_id }}: <link>"),
)
def on_duty() -> None:
    # Twice, as where Airflow calls a callback again: in one process, but the notifier looks into the store first.
    @task(on_failure_callback=[of_task, of_task])
    def breaks() -> None:
        raise RuntimeError("broken")

    breaks()


on_duty()
