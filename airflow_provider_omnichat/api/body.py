"""The JSON of an answer, reduced to what a log, a database or XCom can take."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any

_DEEPEST_LEVELS = 20
_LONGEST_INTEGER_DIGITS = 18


class NamedTwiceError(ValueError):
    """An object has one name twice; which of the values counts would be a guess."""


def parse_body(body: bytes) -> Any:
    """Parse JSON; deep nesting is cut off, and numbers that are infinite or beyond 64 bits stay text."""
    text = body.decode(json.detect_encoding(body), "surrogatepass")
    value = _DECODER.decode(text)
    is_plain = text.isascii() and "\\u" not in text and text.count("{") + text.count("[") <= _DEEPEST_LEVELS
    return value if is_plain else _storable(value, _DEEPEST_LEVELS)


def valid_text(text: str) -> str:
    """Return a text with lone surrogates replaced, which no database, file or XCom takes."""
    # By way of UTF-16, which joins two surrogates that belong together.
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _storable(value: Any, levels: int) -> Any:
    if isinstance(value, str):
        return valid_text(value.replace("\0", "\N{REPLACEMENT CHARACTER}"))
    if isinstance(value, dict | list) and not levels:
        return "…"
    if isinstance(value, dict):
        return {_storable(name, levels): _storable(inner, levels - 1) for name, inner in value.items()}
    return [_storable(inner, levels - 1) for inner in value] if isinstance(value, list) else value


def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its names and values; Python would silently use the last value of a name given twice."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise NamedTwiceError
    return made


# Made once: json.loads with options makes a new one for each text, which takes longer than the text.
_DECODER = json.JSONDecoder(
    object_pairs_hook=object_of,
    parse_int=lambda text: int(text) if len(text) <= _LONGEST_INTEGER_DIGITS else text,
    parse_float=lambda text: number if isfinite(number := float(text)) else text,
    parse_constant=str,
)
