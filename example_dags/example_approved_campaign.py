"""
A campaign that a person approves: a query, a preview, a click, and only then the same list is sent.

Needs Airflow 3.1, which brought approvals; on older ones this file defines no DAG.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import AirflowOptionalProviderFeatureException, Asset, dag, task

from airflow_provider_omnichat.operators.omnichat import Budget
from airflow_provider_omnichat.transfers.sql_to_omnichat import SqlToOmnichatInviteOperator

try:
    from airflow.providers.standard.operators.hitl import ApprovalOperator
except (ImportError, AirflowOptionalProviderFeatureException):
    ApprovalOperator = None

# For example_customers. Airflow has the DAGs folder on the path, but `airflow dags test` of 3.0 does not.
sys.path.append(str(Path(__file__).parent))

# What the preview shows is what is sent: both tasks are made of this.
CAMPAIGN: dict[str, Any] = {
    "conn_id": "omnichat_warehouse",
    "sql": """
        SELECT customer_id, phone, country, substr(name, 1, instr(name || ' ', ' ') - 1) AS first_name
        FROM customers
        ORDER BY customer_id
    """,
    "to_column": "phone",
    "region_column": "country",
    "key_column": "customer_id",
    "message": "Hi {first_name}, our spring collection is here. Questions about it? Chat with us: <link>",
    # People who have opted out get nothing, no matter when they did.
    "suppression": {"conn_id": "omnichat_warehouse", "sql": "SELECT phone FROM opt_outs"},
    # Nobody is written to at night, wherever they live: outside the window, invites wait for the morning.
    "send_window": ("09:00", "20:00"),
    # Nobody gets this campaign twice, nor more than two invites of all campaigns in a week.
    "campaign": "spring-2026",
    "ledger_conn_id": "omnichat_ledger",
    "max_per_recipient": (2, "7d"),
    # A larger list is not the one that was intended.
    "budget": Budget(max_invites=1000, price_per_segment=0.06, currency="EUR", max_cost=100.0),
    "retries": 2,
    "retry_delay": timedelta(minutes=1),
}


def approved_campaign() -> None:
    @task
    def make_customers() -> None:
        from example_customers import database_path, make_database

        make_database(database_path(), pendulum.now("UTC").date())

    preview = SqlToOmnichatInviteOperator(task_id="preview", dry_run=True, **CAMPAIGN)
    approve = ApprovalOperator(
        task_id="approve",
        subject="Send the spring campaign?",
        body=preview.output["markdown"],
        # No answer in time: nothing is sent.
        response_timeout=timedelta(days=2),
        defaults=["Reject"],
    )
    send = SqlToOmnichatInviteOperator(
        task_id="send",
        # Another list than the approved one, be it one person or one word, is refused.
        approved=preview.output["fingerprint"],
        # How it ended for each, back into the database.
        results_table="spring_invites",
        # Other DAGs can be scheduled on it; its event carries the counts.
        outlets=[Asset("omnichat_spring_campaign")],
        **CAMPAIGN,
    )
    make_customers() >> preview >> approve >> send


if ApprovalOperator is not None:
    dag(
        "example_approved_campaign",
        schedule=None,
        start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
        tags=["example", "omnichat"],
        doc_md="""
        ### A campaign that a person approves

        `preview` runs the query and tells what would be sent, to whom, when, at what cost, and who is left out and why.
        `approve` waits for an answer: *Required Actions* in the menu. `send` sends that same list.

        It needs three connections, which `make demo-ui` has: `omnichat_default` of the type *Infobip OMNI Chat*,
        `omnichat_warehouse` to the database with the customers (here the SQLite file that `make_customers` makes), and
        `omnichat_ledger` to any SQL database. Those who are asleep are sent to when their morning comes: then the task
        is *deferred*, and needs Airflow's triggerer to wake up.
        """,
    )(approved_campaign)()
