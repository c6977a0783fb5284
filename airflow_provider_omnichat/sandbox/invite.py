"""An invite as a client sends it, the text that its recipient would get, and how many SMS segments that takes."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Invite:
    """The body of an invite request; what could not be read is empty, and named in ``problems``."""

    to: str
    message: str
    link_placeholder: str | None
    problems: dict[str, list[str]]
    readable: bool = True


_UNREADABLE = Invite("", "", None, {}, readable=False)


def read_invite(raw: bytes) -> Invite:
    """Read the body of an invite request without ever failing."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return _UNREADABLE
    if not isinstance(body, dict):
        return _UNREADABLE
    problems: dict[str, list[str]] = {}
    to = _text(body, "to", problems)
    message = _text(body, "message", problems)
    placeholder = _text(body, "linkPlaceholder", problems) if body.get("linkPlaceholder") is not None else None
    if message == "" and "message" not in problems:
        problems["message"] = ["may not be empty"]
    return Invite(to, message, placeholder, problems)


def _text(body: dict[str, object], name: str, problems: dict[str, list[str]]) -> str:
    value = body.get(name)
    if value is None:
        problems[name] = ["may not be null"]
        return ""
    if not isinstance(value, str):
        problems[name] = ["must be a string"]
        return ""
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:  # half of a surrogate pair: JSON can carry it, an SMS cannot
            problems[name] = ["is not valid Unicode text"]
            return ""
    return value


def put_link_in(invite: Invite, integration_type: str) -> str:
    """Return the text with a new invite link in place of the placeholder."""
    if not invite.link_placeholder or invite.link_placeholder not in invite.message:
        return invite.message
    link = _LINKS.get(integration_type, _OTHER_LINK).format(secrets.token_hex(4))
    return invite.message.replace(invite.link_placeholder, link)


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
