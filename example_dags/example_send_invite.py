"""One invite: a person and a text from the form under *Trigger*, and what the vendor said for the next task."""

from __future__ import annotations

import logging

import pendulum
from airflow.providers.common.compat.sdk import Param, dag, task

from airflow_provider_omnichat.operators.omnichat import SendInviteOperator

log = logging.getLogger(__name__)


@dag(
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    tags=["example", "omnichat"],
    params={
        # From a range of numbers that is reserved for films and examples.
        "to": Param("+44 7700 900123", type="string", title="Phone number", description="With the country code."),
        "message": Param(
            "Hi Ada, questions? We are here to chat: <link>",
            type="string",
            title="Message",
            description="The vendor puts a link in the place of <link>.",
        ),
    },
    doc_md="""
    ### One invite

    Sends an SMS that invites a new customer to a chat. *Trigger* asks for the number and the text. It needs a
    connection `omnichat_default` of the type *Infobip OMNI Chat*; `make demo-ui` has one, to a sandbox that sends
    nothing.

    Clear `send_invite` and look at its log: the customer gets no second SMS.
    """,
)
def example_send_invite() -> None:
    @task
    def note_answer(message_id: str, status: dict[str, str]) -> None:
        log.info("The vendor calls it %s and says %s: %s", message_id, status["name"], status["description"])

    invite = SendInviteOperator(
        task_id="send_invite",
        to="{{ params.to }}",
        message="{{ params.message }}",
        mask_to=True,  # who triggered it knows the number; Airflow's XCom page need not show it
    )
    note_answer(invite.output["messageId"], invite.output["status"])


example_send_invite()
