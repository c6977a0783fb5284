"""The settings of one sandbox. Each field also declares its option of ``omnichat-sandbox``."""

from __future__ import annotations

import json
import secrets
from argparse import ArgumentTypeError
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address
from math import inf
from pathlib import Path
from typing import Any

from airflow_provider_omnichat.sandbox.statuses import ENDINGS, check_shares


def _reader(kind: type, what: str, fits: Callable[[Any], bool]) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not fits(value):
            raise ArgumentTypeError(f"{text!r} is not {what}")
        return value

    return read


_number = _reader(float, "a number of 0 or more", lambda value: 0 <= value < inf)
_positive = _reader(float, "a number above 0", lambda value: 0 < value < inf)
_count = _reader(int, "a whole number of 0 or more", lambda value: value >= 0)
_port = _reader(int, "a port, 0 to 65535", lambda value: 0 <= value <= 65535)


def _seconds(text: str) -> tuple[float, float]:
    shortest, dash, longest = text.partition("-")
    try:
        bounds = _number(shortest), _number(longest if dash else shortest)
    except ArgumentTypeError:
        raise ArgumentTypeError(f"{text!r} is neither seconds nor a range such as 0.01-0.2") from None
    if bounds[0] > bounds[1]:
        raise ArgumentTypeError(f"the range {text!r} runs backwards")
    return bounds


def _shares(text: str) -> dict[str, float]:
    pairs = (part.strip().partition(":") for part in text.split(","))
    try:
        read = {name: float(share) if colon else 1.0 for name, colon, share in pairs}
        check_shares(read)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None
    return read


def _option(group: str, text: str, default: Any, *, flag: str = "", **how: Any) -> Any:
    """Declare a field and its option: *how* goes to argparse, and a function as default makes the default."""
    made = {"default_factory": default} if callable(default) else {"default": default}
    return field(**made, metadata={"group": group, "flag": flag, "help": text, **how})


REPEATED_IDS = ("ignored", "late", "at-once")
BEHAVIOUR = "how it behaves"
RECORDS = "what it keeps and says"
_listening = partial(_option, "where it listens")
_access = partial(_option, "who is let in")
_behaviour = partial(_option, BEHAVIOUR)
_delivery = partial(_option, "what becomes of accepted invites (GET /sms/3/logs)")
_records = partial(_option, RECORDS)


@dataclass(frozen=True, repr=False)
class Credentials:
    """Every way into the sandbox; random unless given, so that nobody grows used to a fixed password."""

    user: str = _access("random by default", lambda: f"sandbox-{secrets.token_hex(3)}")
    password: str = _access("random by default", lambda: secrets.token_urlsafe(12))
    api_key: str = _access("random by default", lambda: f"{secrets.token_hex(16)}-{secrets.token_hex(4)}")
    client_id: str = _access("OAuth2 client; random by default", lambda: f"client-{secrets.token_hex(4)}")
    client_secret: str = _access("OAuth2 secret; random by default", lambda: secrets.token_urlsafe(18))


def new_application_key() -> str:
    """Return a key of the form seen in the vendor's examples: 32 upper-case hex digits."""
    return secrets.token_hex(16).upper()


@dataclass(frozen=True)
class Settings:
    """How a sandbox listens and behaves. A host that others can reach, or impossible shares, raise ValueError."""

    host: str = _listening("address to listen on", "127.0.0.1")
    port: int = _listening("port; 0 takes a free one", 0, type=_port)
    allow_remote: bool = _listening("accept a host that other machines can reach, and their control requests", False)

    credentials: Credentials = field(default_factory=Credentials)
    token_lifetime: float = _access("until an OAuth2 or IBSSO token expires", 3600, type=_positive, metavar="SECONDS")
    application_key: str = _access(
        "application that exists from the start; random by default", new_application_key, metavar="KEY"
    )
    integration_types: Sequence[str] = _access(
        "an integration that is set up, any other is answered with 404; repeatable (default: FACEBOOK and TELEGRAM)",
        ("FACEBOOK", "TELEGRAM"),
        flag="integration-type",
        action="append",
        metavar="TYPE",
    )

    rate_limit: float | None = _behaviour("invites a second; beyond it 429", None, type=_positive, metavar="N")
    rate_limit_retry_after: bool = _behaviour("that 429 carries Retry-After: 1", False)
    latency: tuple[float, float] = _behaviour(
        "wait before each answer to an invite: 0.05, or 0.01-0.2", (0.0, 0.0), type=_seconds, metavar="SECONDS"
    )
    flood_filter: bool = _behaviour("refuse the 7th identical or 21st different text to a number within an hour", False)

    repeated_ids: str = _behaviour(
        "a repeat of an accepted message id is delivered again, rejected in the logs only, or rejected in the answer",
        "ignored",
        choices=REPEATED_IDS,
    )
    id_grace: float = _behaviour("until an accepted message id is free again", 900, type=_number, metavar="SECONDS")

    delivery: Mapping[str, float] = _delivery(
        f"how they end, the rest is delivered; NAME is one of {', '.join(ENDINGS)}",
        dict,
        type=_shares,
        metavar="NAME:SHARE,...",
    )
    delivery_after: tuple[float, float] = _delivery(
        "until the final status (default: 5-30)", (5.0, 30.0), type=_seconds, metavar="SECONDS"
    )
    logs_lag: float = _delivery("until the logs have an invite", 0, type=_number, metavar="SECONDS")
    logs_limit: int = _delivery("requests for the logs a minute; beyond it 429", 120, type=_count, metavar="N")
    logs_scope: bool = _delivery("without this scope, requests for the logs are refused with 403", True)

    keep: int = _records("invite requests kept in memory; the totals count all", 100_000, type=_count, metavar="N")
    outbox_file: Path | None = _records(  # noqa: RUF009 - makes a field
        "append each invite request as a JSON line", None, type=Path, metavar="PATH"
    )

    def __post_init__(self) -> None:
        if not self.allow_remote and not is_loopback(self.host):
            raise ValueError(
                f"{self.host} is not a loopback address: others could read the outbox, whole numbers included;"
                " if that is intended, set allow_remote (--allow-remote)"
            )
        if isinstance(self.integration_types, str):
            raise TypeError("integration_types is a list of names, not one string")
        if self.repeated_ids not in REPEATED_IDS:
            raise ValueError(f"repeated_ids is one of {', '.join(REPEATED_IDS)}, not {self.repeated_ids!r}")
        check_shares(self.delivery)


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach *host*; a name other than ``localhost`` is not looked up."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def base_address(host: str) -> str:
    """Return ``http://host`` as a client on this machine has to write it, without the port."""
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - listening everywhere is asked for with --allow-remote
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104
    return f"http://[{host}]" if ":" in host else f"http://{host}"


def airflow_connection(settings: Settings, port: int) -> str:
    """Return the Airflow connection to this sandbox, as the JSON that ``AIRFLOW_CONN_...`` takes."""
    return json.dumps(
        {
            "conn_type": "omnichat",
            "host": base_address(settings.host),
            "port": port,
            "login": settings.credentials.user,
            "password": settings.credentials.password,
            "extra": {"application_key": settings.application_key, "integration_type": settings.integration_types[0]},
        }
    )
