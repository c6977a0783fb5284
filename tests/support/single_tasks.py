"""A task that sends one invite, as tests make it."""

from __future__ import annotations

from typing import Any

from airflow_provider_omnichat.operators.omnichat import SendInviteOperator
from tests.support.example_invite import MESSAGE


def invite(**given: Any) -> SendInviteOperator:
    return SendInviteOperator(
        **{"task_id": "invite", "to": "+41 79 302 67 27", "message": MESSAGE, "retry_budget": 0, **given}
    )
