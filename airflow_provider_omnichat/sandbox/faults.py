"""The one table of faults: what each does, and whether the vendor took the invite although the client may not know."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from airflow_provider_omnichat.sandbox import plays
from airflow_provider_omnichat.sandbox.statuses import REFUSALS, UNKNOWN, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_omnichat.sandbox.plays import Play


class FaultError(ValueError):
    """A fault that cannot be set; the text tells a person what is wrong with it."""


@dataclass(frozen=True)
class Fault:
    """One kind of failure.

    :param name: the word for it in ``--fault``
    :param does: what the client sees
    :param accepted: whether an SMS would have gone out
    :param http_status: what is answered; None when the client gets no answer
    :param play: how it is played out on the connection
    :param argument: kind of argument, one of `ARGUMENTS`; None when it takes none
    :param default: the argument when none is given
    :param status: the status that the vendor gives the invite, from the argument; None for an ordinary one
    """

    name: str
    does: str
    accepted: bool
    http_status: int | None
    play: Play
    argument: str | None = None
    default: str = ""
    status: Callable[[str], Status] | None = None


def _seconds(arg: str) -> bool:
    try:
        value = float(arg)
    except ValueError:
        return False
    return isfinite(value) and value >= 0


def _address(arg: str) -> bool:
    host, colon, port = arg.rpartition(":")
    return arg == "" or (bool(host and colon) and port.isdecimal() and "/" not in host)


ARGUMENTS: dict[str, Callable[[str], bool]] = {
    "seconds": _seconds,
    "status id": lambda arg: arg.isdecimal() and int(arg) in REFUSALS,
    "host:port": _address,
}

_TABLE = (
    Fault("latency", "answers late, by ARG seconds", True, 200, plays.late, "seconds", "1"),
    Fault("429", "429 without Retry-After", False, 429, plays.error(429)),
    Fault("429-retry-after", "429 with Retry-After: ARG", False, 429, plays.retry_after_seconds(429), "seconds", "1"),
    Fault(
        "429-retry-after-date",
        "429 with Retry-After as an HTTP date, ARG seconds ahead",
        False,
        429,
        plays.retry_after_date,
        "seconds",
        "2",
    ),
    Fault("503", "503 without Retry-After", False, 503, plays.error(503)),
    Fault("503-retry-after", "503 with Retry-After: ARG", False, 503, plays.retry_after_seconds(503), "seconds", "1"),
    Fault("500-before", "500, before the invite is taken", False, 500, plays.error(500)),
    Fault("500-after", "500, after the invite is taken", True, 500, plays.error(500)),
    Fault("drop-before", "breaks the connection before the invite is taken", False, None, plays.drop),
    Fault("drop-after", "breaks the connection after the invite is taken", True, None, plays.drop),
    Fault("hang-before", "never answers; the invite is not taken", False, None, plays.hang),
    Fault("hang-after", "never answers; the invite is taken", True, None, plays.hang),
    Fault("truncated", "200, breaks the connection half-way through the body", True, 200, plays.truncated),
    Fault("slow-body", "200, one byte of the body each ARG seconds", True, 200, plays.dripping, "seconds", "0.1"),
    Fault("html", "502 with an HTML page", False, 502, plays.bad_gateway),
    Fault("html-200", "200 with an HTML page", True, 200, plays.html_ok),
    Fault("garbage-200", "200 with a body that is not JSON", True, 200, plays.garbage),
    Fault(
        "rejected",
        "200 that refuses the invite with status id ARG",
        False,
        200,
        plays.plain,
        "status id",
        "52",
        lambda arg: REFUSALS[int(arg)],
    ),
    Fault(
        "unknown-status",
        "200 with a status group and fields that are not documented",
        True,
        200,
        plays.plain,
        status=lambda arg: UNKNOWN,
    ),
    Fault("400", "400, old error body", False, 400, plays.error(400)),
    Fault("401", "401, old error body", False, 401, plays.error(401)),
    Fault("403", "403, old error body", False, 403, plays.error(403)),
    Fault("404", "404, old error body", False, 404, plays.error(404)),
    Fault("new-error", "400, new error body", False, 400, plays.new_error),
    Fault("redirect", "307 to ARG, or to this server itself", False, 307, plays.redirect, "host:port"),
)

FAULTS = {fault.name: fault for fault in _TABLE}


@dataclass(frozen=True)
class SetFault:
    """A fault with its argument, and the share of invites that meet it."""

    fault: Fault
    arg: str
    rate: float = 1.0

    def as_json(self) -> dict[str, object]:
        """Return it as plain JSON values."""
        return {"name": self.fault.name, "rate": self.rate, "arg": self.arg or None}


def parse_rated(spec: str) -> SetFault:
    """Read ``NAME[:RATE[:ARG]]``, the form of ``--fault``.

    :raises FaultError: when the name, the rate or the argument is not acceptable
    """
    name, _, rest = spec.partition(":")
    rate, _, arg = rest.partition(":")
    return set_fault(name, rate or 1.0, arg)


def parse_scripted(spec: str) -> SetFault | None:
    """Read ``NAME[:ARG]``, the form of a script; ``ok`` is no fault.

    :raises FaultError: when the name or the argument is not acceptable
    """
    name, _, arg = spec.partition(":")
    return None if name == "ok" else set_fault(name, 1.0, arg)


def set_fault(name: str, rate: float | str, arg: str = "") -> SetFault:
    """Check a fault and give it its default argument.

    :raises FaultError: when the name, the rate or the argument is not acceptable
    """
    fault = FAULTS.get(name)
    if fault is None:
        raise FaultError(f"there is no fault {name!r}; the faults are: {', '.join(FAULTS)}")
    try:
        share = float(rate)
    except (TypeError, ValueError):
        raise FaultError(f"fault {name}: the rate {rate!r} is not a number") from None
    if not 0 <= share <= 1:
        raise FaultError(f"fault {name}: the rate {rate} is not between 0 and 1")
    arg = arg or fault.default
    if fault.argument is None and arg:
        raise FaultError(f"fault {name} takes no argument, got {arg!r}")
    if fault.argument is not None and not ARGUMENTS[fault.argument](arg):
        known = f"; known ids: {', '.join(map(str, REFUSALS))}" if fault.argument == "status id" else ""
        raise FaultError(f"fault {name}: {arg!r} is not a valid {fault.argument}{known}")
    return SetFault(fault, arg, share)
