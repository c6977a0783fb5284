"""What an invite must be before it may be sent."""

from __future__ import annotations

from airflow_provider_omnichat.api.account import path_part
from airflow_provider_omnichat.api.errors import AccountError, InvalidInviteError
from airflow_provider_omnichat.api.models import Invite
from airflow_provider_omnichat.api.reasons import ReasonCode
from airflow_provider_omnichat.campaign.checks.text import check_text
from airflow_provider_omnichat.campaign.phone.number import normalise_number


def check_invite(
    *,
    to: object,
    message: object,
    link_placeholder: object,
    application_key: object,
    integration_type: object,
    default_region: str | None = None,
    country: str | None = None,
) -> Invite:
    """Build an invite, or raise the InvalidInviteError that names the field, what is wrong and what to do."""
    number = normalise_number(to, default_region, country)
    text, placeholder = check_text(message, link_placeholder)
    return Invite(
        to=number,
        message=text,
        link_placeholder=placeholder,
        application_key=_required("application_key", application_key),
        integration_type=_required("integration_type", integration_type),
    )


def _required(field: str, value: object) -> str:
    try:
        part = path_part(field, value)
    except AccountError as error:
        raise InvalidInviteError.of(field, ReasonCode.UNUSABLE_APPLICATION, error.problem) from None
    if part is None:
        raise InvalidInviteError.of(
            field, ReasonCode.NO_APPLICATION, "is missing; give it here or in the connection's extra"
        )
    return part
