"""What the text of an invite must be, whoever it goes to."""

from __future__ import annotations

from airflow_provider_omnichat.api.body import valid_text
from airflow_provider_omnichat.api.errors import InvalidInviteError
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.campaign.checks.message_template import MessageTemplate
from airflow_provider_omnichat.campaign.model.field_values import HALF_A_CHARACTER, is_blank
from airflow_provider_omnichat.campaign.model.segments import MOST_BYTES, MOST_PARTS, refused_length


def check_text(message: object, link_placeholder: object) -> tuple[str, str]:
    """
    Give a message and its placeholder back as texts, or say what is wrong with them.

    :param message: the text; *link_placeholder* must occur in it, else the SMS would invite to nowhere. One that the
        vendor refuses for its length, whatever link it puts in, is not taken; one that fits without the link is.
    :param link_placeholder: the piece of *message* that the server replaces.
    :raises InvalidInviteError: naming the field, what is wrong and what to do.
    """
    text = _text("message", message)
    placeholder = _text("link_placeholder", link_placeholder)
    if placeholder not in text:
        problem = "does not contain the link placeholder, so that the SMS would have no link"
        raise invalid("message", ReasonCode.NO_LINK_PLACEHOLDER, problem, _shown(placeholder))
    if too_long := refused_length(text, placeholder):
        problem = f"is too long, the vendor takes at most {MOST_PARTS} SMS and {MOST_BYTES:,} bytes"
        raise invalid("message", ReasonCode.MESSAGE_TOO_LONG, problem, too_long)
    return text, placeholder


def message_template(message: str, link_placeholder: str) -> MessageTemplate:
    """
    Read the text of a list, and refuse one that is wrong for each of its rows.

    :param message: of all rows without one of their own. One with fields of the row is looked at row by row: a field
        may bring the placeholder.
    :param link_placeholder: of all rows without one of their own.
    :raises ValueError: says what is wrong, and what to do.
    """
    template = MessageTemplate(message)
    if not template.fields:
        check_text(template.render({}), link_placeholder)
    return template


def invalid(field: str, code: ReasonCode, problem: str, detail: str = "") -> InvalidInviteError:
    """Make the error of a field."""
    return InvalidInviteError(Reason(code, problem, field=field, detail=detail))


def _text(field: str, value: object) -> str:
    text = value.strip() if isinstance(value, str) else None
    if not text:
        if text is not None or is_blank(value):
            raise invalid(field, ReasonCode.NO_TEXT, "is missing" if text is None else "is empty")
        raise invalid(field, ReasonCode.NOT_A_TEXT, f"must be a text, is a {type(value).__name__}")
    if valid_text(text) != text:
        raise invalid(field, ReasonCode.NOT_A_TEXT, HALF_A_CHARACTER)
    if "\x00" in text:
        raise invalid(field, ReasonCode.NOT_A_TEXT, "has a NUL character in it; mend the source's encoding")
    return text


def _shown(placeholder: str) -> str:
    return repr(placeholder) if len(placeholder) <= 30 else f"({len(placeholder)} characters)"
