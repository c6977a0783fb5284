"""A row checker as tests make it, and what it says of rows."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

from airflow_provider_omnichat.api.models import Invite
from airflow_provider_omnichat.campaign.checks.invite import InviteDefaults
from airflow_provider_omnichat.campaign.checks.row_checker import RowChecker
from airflow_provider_omnichat.campaign.checks.text import MessageTemplate
from airflow_provider_omnichat.campaign.model.rows import Candidate, Columns, Result
from airflow_provider_omnichat.campaign.rows.lists import rows_of_list

SWISS = "41793026727"
NOON = datetime(2026, 7, 1, 10, tzinfo=UTC)  # 12:00 in Zurich, 06:00 in New York


def defaults(given: dict[str, Any]) -> InviteDefaults:
    """Take out of what a test gives what is sent unless a row says otherwise."""
    fields = {"application_key": "KEY", "integration_type": "FACEBOOK", "template": MessageTemplate("Hello <link>")}
    names = {each.name for each in dataclasses.fields(InviteDefaults)}
    return InviteDefaults(**{**fields, **{name: given.pop(name) for name in list(given) if name in names}})


def invite(**given: Any) -> Invite:
    """Check an invite of the arguments that a test gives, else a good one."""
    given.setdefault("template", None)
    chosen, to, country = defaults(given), given.pop("to", "+41793026727"), given.pop("country", None)
    return chosen.invite(to, {"message": "Follow us at <link>", **given}, country)


def gate(**given: Any) -> RowChecker:
    columns = {name: given.pop(f"{name}_column") for name in ("to", "region", "key") if f"{name}_column" in given}
    invite = defaults(given)
    return RowChecker(**{"campaign": "c", **given}, invite=invite, columns=Columns(**columns))


def check(rows: list[dict[str, Any]], **given: Any) -> list[Candidate | Result]:
    return list(gate(**given).checked(rows_of_list(rows)))
