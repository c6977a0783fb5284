"""What it means that a row has nothing in a field; the same for all fields, wherever the row comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NOTHING = frozenset(
    {"", "\\N", "#N/A", "(null)", "(NULL)", "[null]", "[NULL]", "<null>", "<NULL>", "<NA>", "NaT", "nan", "NaN", "None"}
)
"""What databases, data frames and spreadsheets write into an empty field, and what is nobody's name: Nan is one."""


def value_in(fields: Mapping[str, Any], column: str | None) -> Any:
    """
    Return what a row has in a field, a text without the white space at its ends; None if that is nothing.

    :param fields: of the row.
    :param column: the name of the field; None for none.
    """
    value = fields.get(column) if column is not None else None
    if isinstance(value, str):
        text = value.strip()
        return None if text in _NOTHING else text
    return None if value is None or is_blank(value) else value


def is_blank(value: object) -> bool:
    """
    Tell whether a value says that nothing is there: None, a blank text or ``<NA>``, or a data frame's empty cell.

    :param value: of a field.
    """
    if value is None:
        return True
    if isinstance(value, str):
        return value.strip() in _NOTHING
    try:
        # NaN and NaT equal nothing, not even themselves.
        return bool(value != value)
    except (TypeError, ArithmeticError):  # pandas' NA answers neither yes nor no, and a signalling NaN not at all
        return True
    except ValueError:  # an array has many answers
        return False
