"""What an invite must be before it may be sent."""

from __future__ import annotations

from airflow_provider_omnichat.api.account import path_part
from airflow_provider_omnichat.api.errors import AccountError, InvalidInviteError
from airflow_provider_omnichat.api.models import Invite
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.campaign.model.blank import is_blank
from airflow_provider_omnichat.campaign.model.segments import MOST_BYTES, MOST_PARTS, refused_length
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
    :param message: the text; *link_placeholder* must occur in it, else the SMS would invite to nowhere. One that the
        vendor refuses for its length, whatever link it puts in, is not taken; one that fits without the link is.
    :param link_placeholder: the piece of *message* that the server replaces.
    :param application_key: the OMNI application.
    :param integration_type: the channel that the invite leads to.
    :param default_region: the country of numbers without a country code.
    :param country: likewise, said for this number alone.
    :raises InvalidInviteError: naming the field, what is wrong and what to do.
    """
    number = normalise_number(to, default_region, country)
    text = _text("message", message)
    placeholder = _text("link_placeholder", link_placeholder)
    if placeholder not in text:
        problem = "does not contain the link placeholder, so that the SMS would have no link"
        raise _invalid("message", ReasonCode.NO_LINK_PLACEHOLDER, problem, _shown(placeholder))
    if too_long := refused_length(text, placeholder):
        problem = f"is too long, the vendor takes at most {MOST_PARTS} SMS and {MOST_BYTES:,} bytes"
        raise _invalid("message", ReasonCode.MESSAGE_TOO_LONG, problem, too_long)
    return Invite(
        to=number,
        message=text,
        link_placeholder=placeholder,
        application_key=_required("application_key", application_key),
        integration_type=_required("integration_type", integration_type),
    )


def _text(field: str, value: object) -> str:
    if is_blank(value):
        raise _invalid(field, ReasonCode.NO_TEXT, "is empty" if isinstance(value, str) else "is missing")
    if not isinstance(value, str):
        raise _invalid(field, ReasonCode.NOT_A_TEXT, f"must be a text, is a {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _invalid(
            field, ReasonCode.NOT_A_TEXT, "has half a character in it (a lone surrogate); mend the source's encoding"
        ) from None
    if "\x00" in value:
        raise _invalid(field, ReasonCode.NOT_A_TEXT, "has a NUL character in it; mend the source's encoding")
    return value


def _required(field: str, value: object) -> str:
    try:
        part = path_part(field, value)
    except AccountError as error:
        raise _invalid(field, ReasonCode.UNUSABLE_APPLICATION, error.problem) from None
    if part is None:
        raise _invalid(field, ReasonCode.NO_APPLICATION, "is missing; give it here or in the connection's extra")
    return part


def _invalid(field: str, code: ReasonCode, problem: str, detail: str = "") -> InvalidInviteError:
    return InvalidInviteError(Reason(code, problem, field=field, detail=detail))


def _shown(placeholder: str) -> str:
    return repr(placeholder) if len(placeholder) <= 30 else f"({len(placeholder)} characters)"
