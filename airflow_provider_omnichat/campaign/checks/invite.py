"""What an invite must be before it may be sent."""

from __future__ import annotations

from airflow_provider_omnichat.api.account import path_part
from airflow_provider_omnichat.api.errors import AccountError
from airflow_provider_omnichat.api.models import Invite
from airflow_provider_omnichat.api.reasons import ReasonCode
from airflow_provider_omnichat.campaign.checks.text import check_text, invalid
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
    """
    Make an invite of what a DAG gave, or say what is wrong with it.

    :param to: a phone number as people write it, see
        :func:`~airflow_provider_omnichat.campaign.phone.number.normalise_number`.
    :param message: the text; see :func:`~airflow_provider_omnichat.campaign.checks.text.check_text`.
    :param link_placeholder: the piece of *message* that the server replaces.
    :param application_key: the OMNI application.
    :param integration_type: the channel that the invite leads to.
    :param default_region: the country of numbers without a country code.
    :param country: likewise, said for this number alone.
    :raises InvalidInviteError: naming the field, what is wrong and what to do.
    """
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
        raise invalid(field, ReasonCode.UNUSABLE_APPLICATION, error.problem) from None
    if part is None:
        raise invalid(field, ReasonCode.NO_APPLICATION, "is missing; give it here or in the connection's extra")
    return part
