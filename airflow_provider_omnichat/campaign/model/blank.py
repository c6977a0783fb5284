"""What it means that a row has nothing in a field; the same for all fields, wherever the row comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def value_in(fields: Mapping[str, Any], column: str | None) -> Any:
    """
    Give what a row has in a field; None where that is nothing.

    :param fields: of the row.
    :param column: the name of the field; None for none.
    """
    value = fields.get(column) if column is not None else None
    return None if is_blank(value) else value


def is_blank(value: object) -> bool:
    """
    Tell whether a value says that nothing is there: None, a blank text, or what a data frame has in an empty cell.

    :param value: of a field.
    """
    if value is None:
        return True
    if isinstance(value, str):
        return not value or value.isspace()
    try:
        # NaN and NaT equal nothing, not even themselves.
        return bool(value != value)
    except (TypeError, ArithmeticError):  # pandas' NA answers neither yes nor no, and a signalling NaN not at all
        return True
    except ValueError:  # an array has many answers
        return False
