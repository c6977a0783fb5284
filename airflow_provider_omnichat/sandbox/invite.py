"""What a request asks to send, the text that each recipient would get, and how many SMS segments that takes."""

from __future__ import annotations

import secrets
from typing import NamedTuple

from airflow_provider_omnichat.sandbox.body import Rule, read
from airflow_provider_omnichat.sandbox.outbox import Receipt
from airflow_provider_omnichat.sandbox.replies import Problems

_LINKS = {"FACEBOOK": "https://m.me/sandbox?ref={}", "TELEGRAM": "https://t.me/sandbox?start={}"}
_OTHER_LINK = "https://example.com/invite?ref={}"

_GSM7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM7_TWO_SEPTETS = frozenset("\f^{}\\[~]|€")
_GSM7_ALL = _GSM7 | _GSM7_TWO_SEPTETS
_MOST_SEGMENTS = 25
_MOST_BYTES = 4000


class Body(NamedTuple):
    """The body of a request: one invite or more; *problems* are None if it is not a JSON object."""

    invites: list[Receipt]
    problems: Problems | None


_FIELDS = {"to": Rule(str, True), "message": Rule(str, True, may_be_empty=False), "linkPlaceholder": Rule(str)}


def read_invite(raw: bytes, application_key: str, integration_type: str) -> Body:
    """Read the body of an invite request without ever failing."""
    body, problems = read(raw, _FIELDS)
    to, message, placeholder = (body.get(name) for name in _FIELDS)
    asked = Receipt(
        to=to or "",
        message=message or "",
        text=_put_link_in(message or "", placeholder, integration_type),
        link_placeholder=placeholder,
        application_key=application_key,
        integration_type=integration_type,
    )
    return Body([asked], problems)


def answer_invite(receipts: list[Receipt]) -> dict[str, object]:
    """Return the answer to a request of one invite."""
    (sent,) = receipts
    status = sent.status and sent.status.as_wire()
    return {"to": sent.to, "messageCount": sent.segments, "messageId": sent.message_id, "status": status}


def _put_link_in(message: str, placeholder: str | None, integration_type: str) -> str:
    """Return the text with a new invite link in place of the placeholder."""
    if not placeholder or placeholder not in message:
        return message
    link = _LINKS.get(integration_type, _OTHER_LINK).format(secrets.token_hex(4))
    return message.replace(placeholder, link)


def count_segments(text: str) -> int:
    """Return the SMS segments that operators bill: 160/153 characters in GSM-7, 70/67 once one is outside it."""
    if _GSM7_ALL.issuperset(text):
        units = len(text) + sum(map(text.count, _GSM7_TWO_SEPTETS))
        single, segment = 160, 153
    else:
        units = len(text.encode("utf-16-le")) // 2
        single, segment = 70, 67
    if units <= single:
        return 1
    return -(-units // segment) if units == len(text) else _laid_out(text, segment)


def _laid_out(text: str, segment: int) -> int:
    # A character of two units that does not fit into one segment goes into the next.
    segments, room = 1, segment
    for character in text:
        width = 2 if (character in _GSM7_TWO_SEPTETS and segment == 153) or character > "\uffff" else 1
        if width > room:
            segments, room = segments + 1, segment
        room -= width
    return segments


def is_too_long(text: str) -> bool:
    """Return whether the vendor refuses the text as too long."""
    return count_segments(text) > _MOST_SEGMENTS or len(text.encode()) > _MOST_BYTES
