"""A row checker as tests make it, and what it says of rows."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from airflow_provider_omnichat.campaign.checks.row_checker import RowChecker
from airflow_provider_omnichat.campaign.checks.text import InviteDefaults, MessageTemplate
from airflow_provider_omnichat.campaign.model.rows import Candidate, Columns, Result
from airflow_provider_omnichat.campaign.rows.lists import rows_of_list

SWISS = "41793026727"
NOON = datetime(2026, 7, 1, 10, tzinfo=UTC)  # 12:00 in Zurich, 06:00 in New York


def gate(**given: Any) -> RowChecker:
    columns = {name: given.pop(f"{name}_column") for name in ("to", "region", "key") if f"{name}_column" in given}
    invite: dict[str, Any] = {
        "template": MessageTemplate("Hello <link>"),
        "application_key": "KEY",
        "integration_type": "FACEBOOK",
    }
    invite |= {each.name: given.pop(each.name) for each in fields(InviteDefaults) if each.name in given}
    return RowChecker(**{"campaign": "c", **given}, invite=InviteDefaults(**invite), columns=Columns(**columns))


def check(rows: list[dict[str, Any]], **given: Any) -> list[Candidate | Result]:
    return list(gate(**given).checked(rows_of_list(rows)))
