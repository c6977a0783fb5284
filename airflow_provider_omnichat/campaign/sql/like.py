"""A condition that finds a piece of text, in words that all databases take."""

from __future__ import annotations

_ESCAPE = "!"


def contains(column: str, text: str, placeholder: str) -> tuple[str, str]:
    """
    Give a condition, and its parameter, for values with a text in them, without regard to capitals.

    The database makes both small: one that knows the capitals of English alone finds others as they are written.

    :param column: its name.
    :param text: to find; nothing in it is a wildcard.
    :param placeholder: what the driver takes for a parameter.
    """
    pattern = text
    for special in (_ESCAPE, "%", "_"):
        pattern = pattern.replace(special, _ESCAPE + special)
    return f"LOWER({column}) LIKE LOWER({placeholder}) ESCAPE '{_ESCAPE}'", f"%{pattern}%"
