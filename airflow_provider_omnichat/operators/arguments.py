"""Checks of operator arguments that are made when a DAG file is parsed."""

from __future__ import annotations


def seconds_of(name: str, value: object) -> float:
    """
    Give a number of seconds.

    :param name: of the argument, for the error.
    :param value: as it was given.
    :raises ValueError: when it is not a number, or below 0.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise ValueError(f"{name} must be a number of seconds, 0 or more, not {value!r}")
    return float(value)


def one_of(name: str, value: object, choices: tuple[str, ...]) -> None:
    """
    Refuse what is not among the choices.

    :param name: of the argument, for the error.
    :param value: as it was given.
    :param choices: what can be given.
    :raises ValueError: naming the choices.
    """
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")
