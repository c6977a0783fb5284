"""Numbers and texts as they may be shown: in logs, errors, pages, rendered templates."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sized

_MASK = "****"
_LONGEST_TEXT = 300
_SHORTEST_PIECE = 12
# Seven digits or more, also when written with separators: short codes and status ids stay readable, phone numbers do
# not.
_LONG_NUMBER = re.compile(r"\+?\d(?:[\s().\-/]{0,3}\d){6,}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?: \d\d)?")
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


def describe_list(rows: object, of: str = "rows") -> str:
    """
    Say how long a list is, without the list; the address of a file is shown.

    :param rows: a list, the address of one, or whatever stands where a list should be.
    :param of: what it is a list of.
    """
    if isinstance(rows, str):
        return rows if "://" in rows or rows.startswith("/") else describe_text(rows)
    return f"<{type(rows).__name__} of {len(rows)} {of}>" if isinstance(rows, Sized) else f"<{type(rows).__name__}>"


def mask_numbers(text: object) -> str:
    """
    Give a text with the long numbers in it masked, and dates and all else as they are.

    :param text: such as a query.
    """

    def masked(match: re.Match[str]) -> str:
        return match.group() if _DATE.fullmatch(match.group()) else mask_number(match.group())

    return _LONG_NUMBER.sub(masked, text) if isinstance(text, str) else describe_text(text)


def scrub(text: str, hidden: Iterable[str] = ()) -> str:
    """
    Make a text from outside safe to show: one line, not long, without numbers or the given strings.

    :param text: what the vendor, a proxy or a library said.
    :param hidden: strings that must not appear: the message, the number, credentials.
    """
    for secret in sorted(filter(None, hidden), key=len, reverse=True):
        text = _without_pieces(text.replace(secret, "***"), secret)
    text = _LONG_NUMBER.sub(lambda match: mask_number(match.group()), _one_line(text))
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"


def _without_pieces(text: str, secret: str) -> str:
    """Take out what *text* repeats of *secret* cut short, with other capitals or escaped in places."""
    low, size = text.lower(), _SHORTEST_PIECE
    if len(low) != len(text):  # a few characters have no lower case of the same length
        low = text
    pieces = {secret.lower()[i : i + size] for i in range(len(secret) - size + 1)}
    kept, at = [], 0
    while at < len(text):
        end = at
        while low[end : end + size] in pieces:
            end += 1
        kept.append("***" if end > at else text[at])
        at = end + size - 1 if end > at else at + 1
    return "".join(kept)


def _one_line(text: str) -> str:
    return _UNPRINTABLE.sub(" ", text).strip()
