"""Claims and answers for a ledger in a database."""

from __future__ import annotations

from typing import Any

from airflow_provider_omnichat.api.identity import recipient_key
from airflow_provider_omnichat.api.models import InviteAnswer
from airflow_provider_omnichat.campaign.ledger.interface import Claim

CAMPAIGN = "welcome-2026"


def claims_of(count: int, campaign: str = CAMPAIGN, first: int = 41790000000) -> list[Claim]:
    numbers = [str(first + position) for position in range(count)]
    return [Claim(recipient_key(campaign, number), number, f"customer-{number[-4:]}") for number in numbers]


def answer_of(number: str = "41790000000", group: int = 1, **fields: Any) -> InviteAnswer:
    status = {"groupId": group, "groupName": "PENDING", "id": 26, "name": "PENDING_ACCEPTED", "description": "Sent"}
    return InviteAnswer.from_json(
        {"to": number, "messageCount": 2, "messageId": f"id-{number}", "status": status, "more": [1], **fields}
    )
