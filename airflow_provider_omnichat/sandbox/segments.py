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
    return 1 if units <= single else -(-units // part)


def is_too_long(text: str) -> bool:
    """Tell whether the vendor refuses the text as too long."""
    return count_segments(text) > MOST_SEGMENTS or len(text.encode()) > MOST_BYTES
