"""
One long list, split over several tasks that run side by side, on as many workers as the pool allows.

One task sends thousands a second if the vendor takes them, so this is for lists that shall go through several workers
or machines. Which part a person is in is told by the number: a part that is run again never touches another's.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import dag, get_current_context, task

from airflow_provider_omnichat.operators.omnichat import SendInviteBatchOperator

# For example_customers. Airflow has the DAGs folder on the path, but `airflow dags test` of 3.0 does not.
sys.path.append(str(Path(__file__).parent))
log = logging.getLogger(__name__)

PARTS = 4


@dag(
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    tags=["example", "omnichat"],
    doc_md="""
    ### One list, several tasks

    It needs the connections `omnichat_default` and `omnichat_ledger`, and a pool: how many parts run at once.
    `airflow pools set omnichat_senders 2 "Invites side by side"`. All of it is there in `make demo-ui`.

    The account's limit is met by all parts together: each slows down when the vendor says "too many requests", until
    they share what it takes.
    """,
)
def example_partitioned_campaign() -> None:
    from example_customers import example_home

    @task
    def customers() -> str:
        from example_customers import database_path, list_all, make_database, write_list

        make_database(database_path(), pendulum.now("UTC").date())
        path = example_home() / "all" / f"{get_current_context()['ti'].run_id}.csv"
        write_list(path, list_all(database_path()))
        return str(path)

    @task
    def report(manifests: list[dict[str, Any]]) -> dict[str, int]:
        total: Counter[str] = Counter()
        for manifest in manifests:
            total.update(manifest["counts"])
        log.info("All parts together: %s", dict(total))
        return dict(total)

    parts = SendInviteBatchOperator.partial(
        task_id="send_part",
        # Each part reads the whole list and takes its own people out of it.
        invites=customers(),
        region_column="country",
        key_column="customer_id",
        message="Hi {first_name}, we have moved. Questions? Chat with us: <link>",
        # One memory for all parts, and for all runs.
        campaign="we-have-moved",
        ledger_conn_id="omnichat_ledger",
        pool="omnichat_senders",
        results_path=str(example_home() / "results"),
        max_rejected_ratio=0.2,
        retries=2,
        retry_delay=timedelta(minutes=1),
        map_index_template="part {{ task.partition[0] + 1 }}",
    ).expand(partition=[[part, PARTS] for part in range(PARTS)])
    report(parts.output)


example_partitioned_campaign()
