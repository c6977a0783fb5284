"""Numbers and texts as they may be shown: in logs, errors, pages, rendered templates."""

from __future__ import annotations

import re
from collections.abc import Iterable

_MASK = "****"
_LONGEST_TEXT = 300
# Seven digits or more, also when written with separators: short codes and status ids stay readable, phone numbers do
# not.
_LONG_NUMBER = re.compile(r"\+?\d(?:[\s().\-/]{0,3}\d){6,}")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+|\s{2,}")


def mask_number(number: object) -> str:
    """
    Give a phone number as ``41793****27``: enough to recognise, too little to call.

    :param number: the number, or whatever stands where a number should be.
    """
    text = _one_line(str(number))
    if len(text) >= 10:
        return f"{text[:5]}{_MASK}{text[-2:]}"
    if len(text) >= 6:
        return f"{text[:2]}{_MASK}{text[-1:]}"
    return _MASK if text else ""


def describe_text(text: object) -> str:
    """
    Say that there is a text and how long it is, without the text.

    :param text: a message, or whatever stands where a message should be.
    """
    if not isinstance(text, str):
        return f"<{type(text).__name__}>"
    return f"<text of {len(text)} characters>"


def scrub(text: str, hidden: Iterable[str] = ()) -> str:
    """
    Make a text from outside safe to show: one line, not long, without numbers or the given strings.

    :param text: what the vendor, a proxy or a library said.
    :param hidden: strings that must not appear: the message, the number, credentials.
    """
    for secret in sorted(filter(None, hidden), key=len, reverse=True):
        text = text.replace(secret, "***")
    text = _LONG_NUMBER.sub(lambda match: mask_number(match.group()), _one_line(text))
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"


def _one_line(text: str) -> str:
    return _UNPRINTABLE.sub(" ", text).strip()
