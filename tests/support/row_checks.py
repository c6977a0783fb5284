"""A row checker as tests make it, and what it says of rows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow_provider_omnichat.campaign.checks.row_checker import RowChecker
from airflow_provider_omnichat.campaign.checks.text import MessageTemplate
from airflow_provider_omnichat.campaign.model.rows import Candidate, Result
from airflow_provider_omnichat.campaign.rows.lists import rows_of_list

SWISS = "41793026727"
NOON = datetime(2026, 7, 1, 10, tzinfo=UTC)  # 12:00 in Zurich, 06:00 in New York


def gate(**given: Any) -> RowChecker:
    fields = {
        "campaign": "c",
        "template": MessageTemplate("Hello <link>"),
        "link_placeholder": "<link>",
        "application_key": "KEY",
        "integration_type": "FACEBOOK",
        **given,
    }
    return RowChecker(**fields)


def check(rows: list[dict[str, Any]], **given: Any) -> list[Candidate | Result]:
    return list(gate(**given).checked(rows_of_list(rows)))
