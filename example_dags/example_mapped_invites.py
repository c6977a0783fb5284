"""
One task for each customer, by mapping: each has its own log, can be cleared alone, and is named after its customer.

For tens of people. Each task costs its start and a place in Airflow's database, the number included; for a list, one
task of the batch operator does the same and more (``example_lifecycle_campaign``).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_omnichat.operators.omnichat import SendInviteOperator

log = logging.getLogger(__name__)


def as_invite(customer: dict[str, str]) -> dict[str, Any]:
    """Return the arguments of the operator for each invite."""
    return {
        "to": customer["phone"],
        "default_region": customer["country"],
        "message": f"Hi {customer['name']}, your order is ready. Questions? Chat with us: <link>",
        "params": {"customer": customer["customer_id"]},
    }


@dag(
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    tags=["example", "omnichat"],
    doc_md="""
    ### An invite for each customer, by mapping

    It needs a connection `omnichat_default` of the type *Infobip OMNI Chat*, and one `omnichat_ledger` to a database in
    which the tasks see whom the others have invited; `make demo-ui` has both, and a sandbox that sends nothing. A task
    is red when its customer got no invite. Clear it: nobody gets a second SMS.
    """,
)
def example_mapped_invites() -> None:
    # What a task returns is kept in Airflow's database (XCom); this keeps it out of the log.
    @task(show_return_value_in_logs=False)
    def customers() -> list[dict[str, str]]:
        # From ranges of numbers that are reserved for films and examples.
        found = [
            {"customer_id": "C-3", "name": "Emil", "country": "SE", "phone": "070-174 06 33"},
            {"customer_id": "C-1", "name": "Ada", "country": "GB", "phone": "07700 900123"},
            {"customer_id": "C-2", "name": "Élodie", "country": "FR", "phone": "06 39 98 12 34"},
        ]
        return sorted(found, key=lambda customer: customer["customer_id"])

    # Runs when all were accepted. They come in the order of the list.
    @task
    def note_answers(message_ids: Iterable[str], statuses: Iterable[dict[str, Any]]) -> None:
        for message_id, status in zip(message_ids, statuses, strict=True):
            log.info("The vendor calls it %s and says %s: %s", message_id, status["name"], status["description"])

    invites = SendInviteOperator.partial(
        task_id="send_invite",
        ledger_conn_id="omnichat_ledger",
        map_index_template="{{ task.params.customer }}",
        max_active_tis_per_dagrun=8,
        retries=2,
        retry_delay=timedelta(minutes=1),
    ).expand_kwargs(customers().map(as_invite))
    note_answers(invites.output["messageId"], invites.output["status"])


example_mapped_invites()
