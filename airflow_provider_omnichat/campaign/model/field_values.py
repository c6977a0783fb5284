"""Values of a list's fields: when one is missing, and how it is written as people write it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from numbers import Number, Rational, Real
from typing import Any
from uuid import UUID

from airflow_provider_omnichat.api.body import valid_text

HALF_A_CHARACTER = "has half a character in it (a lone surrogate); fix the source's encoding"

_NOTHING = frozenset(
    {"", "\\N", "#N/A", "(null)", "(NULL)", "[null]", "[NULL]", "<null>", "<NULL>", "<NA>", "NaT", "nan", "NaN", "None"}
)
"""What databases, data frames and spreadsheets write into an empty field, if it is no name: Nan is somebody's."""

# A number beyond this many digits before or after the point is a mistake in the data, not something to show people.
_MOST_DIGITS = 30
# What a data frame makes of the whole number 1017 in a column with an empty cell.
_WHOLE = re.compile(r"(0|[1-9]\d*)\.0+", re.ASCII)


class RoundedFloat(float):
    """A float that its source may have rounded: of a column of 32 bits, or with an exponent in JSON."""

    __slots__ = ()


def value_in(fields: Mapping[str, Any], column: str | None) -> Any:
    """Return what a row has in a field, a text without the white space around it; None if that is nothing."""
    value = fields.get(column) if column is not None else None
    if isinstance(value, str):
        text = value.strip()
        return None if text in _NOTHING else text
    return None if value is None or is_blank(value) else value


def is_blank(value: object) -> bool:
    """Return whether a value stands for a missing one: None, a blank text or ``<NA>``, a data frame's empty cell."""
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


def key_text(value: object) -> str:
    """Write the value that names a row: ``1017`` also if a data frame has made ``1017.0`` of it."""
    if isinstance(value, str):
        value = value.strip()
        whole = _WHOLE.fullmatch(value)
        return whole[1] if whole else valid_text(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return _bytes_text(bytes(value))
    try:
        text = plain_text_of(value)
    except (ValueError, ArithmeticError):
        text = None
    if text is not None:
        return key_text(text)
    try:
        return valid_text(str(value))
    except ValueError:  # a whole number that Python does not write, for its length
        return f"<{type(value).__name__}>"


def plain_text_of(value: object) -> str | None:
    """Write a value as people do, None if it cannot be part of a text; raise a ValueError for an invalid number."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Real) and not isinstance(value, Rational):
        return _float_text(float(value))
    if isinstance(value, Decimal):
        return _decimal_text(value)
    return str(value) if isinstance(value, Number | date | time | UUID) else None


def _bytes_text(value: bytes) -> str:
    try:
        text = value.decode().strip()
    except UnicodeDecodeError:
        return value.hex()
    return text if text.isprintable() else value.hex()


def _float_text(number: float) -> str | None:
    # A data frame makes floats of whole numbers as soon as one is missing.
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else _decimal_text(Decimal(repr(number)))


def _decimal_text(number: Decimal) -> str | None:
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or abs(number.adjusted()) > _MOST_DIGITS or exponent < -_MOST_DIGITS:
        return None
    return str(int(number)) if exponent > 0 else f"{number:f}"
