"""What an invite must be before it may be sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_omnichat.api.models import Invite
from airflow_provider_omnichat.campaign.checks.routes import InviteRoute
from airflow_provider_omnichat.campaign.phone.number import normalise_number


def check_invite(
    *,
    to: object,
    message: object,
    route: InviteRoute,
    fields: Mapping[str, Any] | None = None,
    default_region: str | None = None,
    country: str | None = None,
) -> Invite:
    """Build an invite, or raise the InvalidInviteError that names the field, what is wrong and what to do."""
    return route.invite(normalise_number(to, default_region, country), message, fields or {})
