"""Reading single option values; argparse puts the name of the function into its error."""

from __future__ import annotations

import argparse
from math import isfinite

from airflow_provider_omnichat.sandbox.delivery import parse_shares


def number(text: str) -> float:
    """Read a number of 0 or more."""
    value = float(text)
    if not isfinite(value) or value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 0 or more")
    return value


def positive(text: str) -> float:
    """Read a number above 0."""
    value = number(text)
    if value == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0")
    return value


def count(text: str) -> int:
    """Read a whole number of 0 or more."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is below 0")
    return value


def shares(text: str) -> dict[str, float]:
    """Read how accepted invites end."""
    try:
        return parse_shares(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def port(text: str) -> int:
    """Read a port."""
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, 0 to 65535")
    return value


def seconds(text: str) -> tuple[float, float]:
    """Read seconds, or a range of them such as ``0.01-0.2``."""
    shortest, dash, longest = text.partition("-")
    try:
        bounds = number(shortest), number(longest if dash else shortest)
    except (ValueError, argparse.ArgumentTypeError):
        raise argparse.ArgumentTypeError(f"{text!r} is neither seconds nor a range such as 0.01-0.2") from None
    if bounds[0] > bounds[1]:
        raise argparse.ArgumentTypeError(f"the range {text!r} runs backwards")
    return bounds
