"""Checks of arguments: each raises ValueError with the argument's name and what to write."""

from __future__ import annotations

from typing import TypeGuard


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value is a number; True and NaN are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def seconds_of(name: str, value: object) -> float:
    """Return a number of seconds."""
    if not is_number(value) or not value >= 0:
        raise ValueError(f"{name} must be a number of seconds, 0 or more, not {value!r}")
    return float(value)


def ratio_of(name: str, value: object) -> float:
    """Return a number from 0 to 1."""
    if not is_number(value) or not 0 <= value <= 1:
        raise ValueError(f"{name} must be between 0 and 1, not {value!r}")
    return float(value)


def one_of(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Refuse a value that is not one of the choices."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")
