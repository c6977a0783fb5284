"""
A daily campaign: whoever signed up a week ago is invited to a chat, once.

Customers come out of a database, each gets one outcome, and the outcomes go back into the database.
"""

from __future__ import annotations

import logging
import sys
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pendulum
from airflow.providers.common.compat.sdk import AirflowFailException, dag, get_current_context, task
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_omnichat.operators.omnichat import SendInviteOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from example_customers import Ending


# For example_customers. Airflow has the DAGs folder on the path, but `airflow dags test` of 3.0 does not.
sys.path.append(str(Path(__file__).parent))
log = logging.getLogger(__name__)

SETTLED = ("accepted", "rejected")
"""Outcomes after which there is nothing left to do."""


def due_days(context: Context) -> tuple[date, date]:
    """
    Give the days for which this run invites: the first one, and the one after the last.

    They are those of the data interval. A run that was triggered without a date has none: it takes the day before.
    """
    start: datetime | None = context.get("data_interval_start")
    end: datetime | None = context.get("data_interval_end")
    if start and end and start < end:
        return start.date(), end.date()
    today = (end or getattr(context["dag_run"], "run_after", None) or pendulum.now("UTC")).date()
    return today - timedelta(days=1), today


def as_invite(customer: dict[str, str]) -> dict[str, Any]:
    """Give what one invite is, as arguments of the operator."""
    first_name = customer["name"].split()[0]
    return {
        "to": customer["number"],
        "message": f"Hi {first_name}, one week with us! Anything we can help with? Chat with us: <link>",
        "params": {"customer": customer["customer_id"]},
    }


def note_failure(context: Context) -> None:
    """Leave for ``record_outcomes`` how an invite ended that has no answer of the vendor."""
    error = context.get("exception")
    for problem in (error, getattr(error, "__cause__", None)):
        if outcome := getattr(problem, "outcome", None):
            context["ti"].xcom_push(key="failure", value={"outcome": str(outcome), "reason": str(problem)})
            return


def ending_of(ti: Any, map_index: int) -> Ending:
    """
    Give how one invite ended, from what its task left.

    A task that left nothing was killed, perhaps between sending and saying so: nobody knows.
    """
    from example_customers import Ending

    from airflow_provider_omnichat.api.models import Status

    def left(key: str) -> Any:
        return ti.xcom_pull(task_ids="send_invite", map_indexes=map_index, key=key)

    if raw := left("status"):
        status = Status.from_json(raw)
        accepted = status.outcome == "accepted"
        reason = None if accepted else f"{status.name}: {status.description}"
        return Ending(str(status.outcome), reason, left("messageId"), raw)
    if failure := left("failure"):
        return Ending(**failure)
    return Ending("unknown", "the task ended without saying how; see its log")


@dag(
    # With a time and not "@daily": this timetable has a data interval on every Airflow, the day that has ended.
    schedule=CronDataIntervalTimetable("0 9 * * *", timezone="UTC"),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["example", "omnichat"],
    doc_md="""
    ### A daily campaign

    Invites whoever signed up a week ago. Needs a connection `omnichat_default` of the type *Infobip OMNI Chat*;
    `make demo` and `make demo-ui` have one, to a sandbox that sends nothing.

    | task | |
    | --- | --- |
    | `make_customers` | makes the example's database; you have one |
    | `customers_due` | who is due in the data interval; broken numbers are refused here |
    | `send_invite` | one task each, named after the customer; red when the vendor refused the invite |
    | `record_outcomes` | how each ended, into the database; red when one failed or is in doubt |

    A refusal of the vendor is an outcome, and leaves the run green. When the run is red, clear the failed tasks: what
    was certainly not sent is sent then, and nothing is sent twice.

    Phone numbers are in the database and in Airflow's XCom, and nowhere else: not in logs, not on pages.
    """,
)
def example_lifecycle_campaign() -> None:
    @task
    def make_customers() -> None:
        from example_customers import database_path, make_database

        make_database(database_path(), due_days(get_current_context())[0])

    # The list holds numbers: Airflow would write it to the log.
    @task(show_return_value_in_logs=False)
    def customers_due() -> list[dict[str, str]]:
        from example_customers import count_outcomes, database_path, list_due

        context = get_current_context()
        since, until = due_days(context)
        run_id = context["ti"].run_id
        due = list_due(database_path(), since, until, run_id)
        log.info("Due from %s to before %s: %s", since, until, count_outcomes(database_path(), run_id))
        return due

    # Runs also when invites failed, and asks for the list itself: as an argument it would be shown on a page.
    @task(trigger_rule="all_done")
    def record_outcomes() -> dict[str, int]:
        from example_customers import count_outcomes, database_path, record

        ti = get_current_context()["ti"]
        due = ti.xcom_pull(task_ids="customers_due")
        if due is None:
            raise AirflowFailException("customers_due failed, so nobody was invited")
        endings = {customer["customer_id"]: ending_of(ti, index) for index, customer in enumerate(due)}
        record(database_path(), endings)
        failed = [f"{name} {ending.outcome}" for name, ending in endings.items() if ending.outcome not in SETTLED]
        if failed:
            more = f" and {len(failed) - 10} more" if len(failed) > 10 else ""
            raise AirflowFailException(
                f"{len(failed)} of {len(due)} invites are open: {', '.join(failed[:10])}{more}. The table invites in"
                f" {database_path()} has the reasons. To send what was not sent, clear the failed tasks"
            )
        return count_outcomes(database_path(), ti.run_id)

    due = customers_due()
    invites = SendInviteOperator.partial(
        task_id="send_invite",
        retries=2,
        retry_delay=timedelta(minutes=1),
        max_active_tis_per_dagrun=8,
        map_index_template="{{ task.params.customer }}",
        on_failure_callback=note_failure,
    ).expand_kwargs(due.map(as_invite))
    make_customers() >> due
    invites >> record_outcomes()


example_lifecycle_campaign()
