"""How many SMS a text takes, by the rules the operators bill by."""

from __future__ import annotations

_GSM7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM7_TWO_SEPTETS = frozenset("\f^{}\\[~]|€")
_GSM7_ALL = _GSM7 | _GSM7_TWO_SEPTETS

MOST_SEGMENTS = 25
MOST_BYTES = 4000


def count_segments(text: str) -> int:
    """Return the number of SMS: 160/153 characters each in GSM-7, 70/67 once one character is outside it."""
    if _GSM7_ALL.issuperset(text):
        units = len(text) + sum(map(text.count, _GSM7_TWO_SEPTETS))
        single, part = 160, 153
    else:
        units = len(text.encode("utf-16-le")) // 2
        single, part = 70, 67
    if units <= single:
        return 1
    return -(-units // part) if units == len(text) else _laid_out(text, part)


def _laid_out(text: str, part: int) -> int:
    """Fill part after part; a character of two units that does not fit into one goes into the next."""
    parts, room = 1, part
    for character in text:
        width = 2 if (character in _GSM7_TWO_SEPTETS and part == 153) or character > "\uffff" else 1
        if width > room:
            parts, room = parts + 1, part
        room -= width
    return parts


def is_too_long(text: str) -> bool:
    """Tell whether the vendor refuses the text as too long."""
    return count_segments(text) > MOST_SEGMENTS or len(text.encode()) > MOST_BYTES
