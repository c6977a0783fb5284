"""One invite: a customer comes from a task, an SMS goes out, and what the vendor said is used by the next task."""

from __future__ import annotations

import logging

import pendulum
from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_omnichat.operators.omnichat import SendInviteOperator

log = logging.getLogger(__name__)


@dag(
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    tags=["example", "omnichat"],
    doc_md="""
    ### One invite

    Sends an SMS that invites a new customer to a chat. It needs a connection `omnichat_default` of the type
    *Infobip OMNI Chat*; `make demo-ui` has one, to a sandbox that sends nothing.

    Clear `send_invite` and look at its log: on Airflow 3.3 the customer gets no second SMS.
    """,
)
def example_send_invite() -> None:
    # What a task returns is kept in Airflow's database (XCom); this keeps it out of the log.
    @task(show_return_value_in_logs=False)
    def new_customer() -> dict[str, str]:
        # From a range of numbers that is reserved for films and examples.
        return {"name": "Ada", "phone": "07700 900123", "country": "GB"}

    @task
    def note_answer(message_id: str, status: dict[str, str]) -> None:
        log.info("The vendor calls it %s and says %s: %s", message_id, status["name"], status["description"])

    customer = new_customer()
    invite = SendInviteOperator(
        task_id="send_invite",
        to=customer["phone"],
        default_region=customer["country"],
        message="Hi {{ ti.xcom_pull('new_customer')['name'] }}, questions? We are here to chat: <link>",
    )
    note_answer(invite.output["messageId"], invite.output["status"])


example_send_invite()
