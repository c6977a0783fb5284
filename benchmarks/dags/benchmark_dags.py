"""
The DAGs that are measured.

``python benchmark_dags.py DAG_ID DESCRIPTOR`` runs one by ``dag.test()`` for each order on standard input. What is
measured is ``execute``, with everything imported before: Airflow's own start is the same whatever the task does.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import pendulum
from airflow.providers.http.hooks.http import HttpHook
from airflow.providers.http.operators.http import HttpOperator
from airflow.sdk import BaseOperator, Context, dag, task

from airflow_provider_omnichat.operators.omnichat import SendInviteBatchOperator
from benchmarks.invites import MESSAGE, read_bodies
from benchmarks.measure import measured, whole_process

_JSON = {"Content-Type": "application/json"}


class MeasuredBatchOperator(SendInviteBatchOperator):
    def execute(self, context: Context) -> dict[str, Any]:

        conf = context["dag_run"].conf or {}
        with measured(conf["count"], conf["report"]):
            return super().execute(context)


class HttpHookLoop(BaseOperator):
    """What people write today."""

    def execute(self, context: Context) -> None:
        conf = context["dag_run"].conf or {}
        bodies = read_bodies(conf["list"])
        with measured(len(bodies), conf["report"]):
            hook = HttpHook(method="POST", http_conn_id="benchmark_http")
            for body in bodies:
                hook.run(conf["path"], data=json.dumps(body), headers=_JSON).json()


class MeasuredHttpOperator(HttpOperator):
    def execute(self, context: Context) -> Any:
        answer = super().execute(context)
        whole_process(1, (context["dag_run"].conf or {})["report"])
        return answer


def batch_dag(dag_id: str, **options: Any) -> Any:
    @dag(dag_id, schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False)
    def made() -> None:
        MeasuredBatchOperator(
            task_id="send",
            invites="file://{{ dag_run.conf['list'] }}",
            message=MESSAGE,
            key_column="customer_id",
            **options,
        )

    return made()


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False)
def benchmark_http_hook() -> None:
    HttpHookLoop(task_id="send")


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False)
def benchmark_http_operator() -> None:
    @task
    def bodies(dag_run: Any = None) -> list[str]:
        return [json.dumps(body) for body in read_bodies(dag_run.conf["list"])]

    MeasuredHttpOperator.partial(
        task_id="send",
        http_conn_id="benchmark_http",
        endpoint="{{ dag_run.conf['path'] }}",
        method="POST",
        headers=_JSON,
    ).expand(data=bodies())


DAGS = {
    made.dag_id: made
    for made in (
        batch_dag("benchmark_batch"),
        batch_dag("benchmark_batch_ledger", ledger_conn_id="{{ dag_run.conf['ledger'] }}"),
        batch_dag("benchmark_batch_results", results_path="{{ dag_run.conf['results'] }}"),
        benchmark_http_hook(),
        benchmark_http_operator(),
    )
}


def main(dag_id: str, answers: int) -> None:
    os.write(answers, b"started\n")
    for line in sys.stdin:
        DAGS[dag_id].test(run_conf=json.loads(line))
        os.write(answers, b"done\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
