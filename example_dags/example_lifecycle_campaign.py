"""
A daily campaign: customers who signed up a week ago are invited to a chat, once.

Customers come out of a database, one task sends to all of them, and how each ended goes back into the database.
"""

from __future__ import annotations

import logging
import sys
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pendulum
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    ObjectStoragePath,
    dag,
    get_current_context,
    task,
)
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_omnichat.operators.omnichat import SendInviteBatchOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


# For example_customers. Airflow has the DAGs folder on the path, but `airflow dags test` of 3.0 does not.
sys.path.append(str(Path(__file__).parent))
log = logging.getLogger(__name__)


def due_days(context: Context) -> tuple[date, date]:
    """
    Return the days for which this run invites: the first one, and the one after the last.

    They are those of the data interval. A run that was triggered without a date has none: it takes the day before.
    """
    start: datetime | None = context.get("data_interval_start")
    end: datetime | None = context.get("data_interval_end")
    if start and end and start < end:
        return start.date(), end.date()
    today = (end or getattr(context["dag_run"], "run_after", None) or pendulum.now("UTC")).date()
    return today - timedelta(days=1), today


@dag(
    # With a time and not "@daily": this timetable has a data interval on every Airflow, the day that has ended.
    schedule=CronDataIntervalTimetable("0 9 * * *", timezone="UTC"),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["example", "omnichat"],
    doc_md="""
    ### A daily campaign

    Invites customers who signed up a week ago. It needs two connections, which `make demo` and `make demo-ui` have:
    `omnichat_default` of the type *Infobip OMNI Chat* (theirs is to a sandbox that sends nothing), and
    `omnichat_ledger` to any SQL database, where the operator keeps whom it has invited. For a try on one machine:
    `export AIRFLOW_CONN_OMNICHAT_LEDGER=sqlite:///home/me/ledger.sqlite`

    | task | |
    | --- | --- |
    | `make_customers` | makes the example's database; you have one |
    | `customers_due` | who is due in the data interval, as a file; broken numbers are refused here |
    | `send_invites` | sends to all of them; red when an invite is open, or the vendor refused too many |
    | `record_outcomes` | how each ended, into the database, whatever became of `send_invites`; red when one is open |
    | `report` | the counts; it needs both tasks before it, so the run is red when one of them is |

    When the run is red, clear its failed tasks: what was certainly not sent is sent then, and nobody gets a second SMS.

    Phone numbers are in the database and in files that only their owner may read, and nowhere else: not in Airflow's
    database, logs or pages.
    """,
)
def example_lifecycle_campaign() -> None:
    from example_customers import example_home

    @task
    def make_customers() -> None:
        from example_customers import database_path, make_database

        make_database(database_path(), due_days(get_current_context())[0])

    # Gives the path of a file and not the rows: what a task returns is kept in Airflow's database (XCom), where numbers
    # do not belong and a long list has no room. With workers on several machines, write it to object storage.
    @task
    def customers_due() -> str:
        from example_customers import count_outcomes, database_path, list_due, write_list

        context = get_current_context()
        since, until = due_days(context)
        run_id = context["ti"].run_id
        path = example_home() / "due" / f"{run_id}.csv"
        write_list(path, list_due(database_path(), since, until, run_id))
        log.info("Due from %s to before %s: %s", since, until, count_outcomes(database_path(), run_id))
        return str(path)

    @task(trigger_rule="all_done")
    def record_outcomes(manifest: dict[str, Any] | None) -> None:
        from example_customers import database_path, list_open, record

        from airflow_provider_omnichat.campaign.results.files import read_results

        run_id = get_current_context()["ti"].run_id
        if manifest is None:
            raise AirflowFailException("send_invites did not come to its end. Clear the failed tasks")
        record(database_path(), run_id, read_results(ObjectStoragePath(manifest["results"])))
        if left := list_open(database_path(), run_id):
            more = f" and {len(left) - 10} more" if len(left) > 10 else ""
            raise AirflowFailException(
                f"{len(left)} invites are open: {', '.join(left[:10])}{more}. The table invites in {database_path()}"
                " has the reasons. Clear the failed tasks to send what was not sent"
            )

    @task
    def report() -> dict[str, int]:
        from example_customers import count_outcomes, database_path

        return count_outcomes(database_path(), get_current_context()["ti"].run_id)

    due = customers_due()
    invites = SendInviteBatchOperator(
        task_id="send_invites",
        invites=due,
        message="Hi {first_name}, one week with us! Anything we can help with? Chat with us: <link>",
        key_column="customer_id",
        # No number gets this campaign's invite twice, whichever run or DAG sends. Without the two, Airflow remembers it
        # for the tries of one task, and before 3.3 not even for those.
        campaign="one-week-with-us",
        ledger_conn_id="omnichat_ledger",
        results_path=str(example_home() / "results"),
        rate_limit=50,
        max_rejected_ratio=0.2,
        on_empty="succeed",
        retries=2,
        retry_delay=timedelta(minutes=1),
    )
    make_customers() >> due
    recorded = record_outcomes(invites.output)
    [invites, recorded] >> report()


example_lifecycle_campaign()
