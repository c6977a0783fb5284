"""What one sandbox is set up with: where it listens, whom it lets in, how it behaves."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING

from airflow_provider_omnichat.sandbox.delivery import check_shares

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Credentials:
    """Every way into the sandbox; random unless given, so that nobody grows used to a fixed password."""

    user: str = field(default_factory=lambda: f"sandbox-{secrets.token_hex(3)}")
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12), repr=False)
    api_key: str = field(default_factory=lambda: f"{secrets.token_hex(16)}-{secrets.token_hex(4)}", repr=False)
    client_id: str = field(default_factory=lambda: f"client-{secrets.token_hex(4)}")
    client_secret: str = field(default_factory=lambda: secrets.token_urlsafe(18), repr=False)


def new_application_key() -> str:
    """Return a key of the form seen in the vendor's examples: 32 upper-case hex digits."""
    return secrets.token_hex(16).upper()


@dataclass(frozen=True)
class Settings:
    """How a sandbox listens and behaves. Each field is the command-line option of the same name.

    :param host: address to listen on
    :param port: port to listen on; 0 takes a free one
    :param allow_remote: accept a host that is not loopback, and control requests from other machines
    :param credentials: user, password, API key and OAuth2 client that are let in
    :param application_key: the application that exists from the start
    :param integration_types: the integrations that are set up; any other is answered with 404
    :param rate_limit: invites a second before 429; None for no limit
    :param rate_limit_retry_after: whether that 429 carries ``Retry-After``
    :param latency: shortest and longest wait before each answer to an invite, in seconds
    :param flood_filter: refuse the 7th identical or 21st different text to a number within 60 minutes
    :param delivery: how accepted invites end: the share of each ending; what is left of 1 is delivered
    :param delivery_after: shortest and longest time until the final status, in seconds
    :param logs_lag: seconds until an accepted invite stands in the SMS logs
    :param logs_limit: requests for the SMS logs within a minute before 429
    :param logs_scope: whether the credentials may read the SMS logs; 403 if not
    :param token_lifetime: seconds until an OAuth2 or IBSSO token expires
    :param keep: how many invite requests the outbox keeps; its totals are never cut
    :param outbox_file: JSON lines file to which each invite request is appended
    """

    host: str = "127.0.0.1"
    port: int = 0
    allow_remote: bool = False
    credentials: Credentials = field(default_factory=Credentials)
    application_key: str = field(default_factory=new_application_key)
    integration_types: Sequence[str] = ("FACEBOOK", "TELEGRAM")
    rate_limit: float | None = None
    rate_limit_retry_after: bool = False
    latency: tuple[float, float] = (0.0, 0.0)
    flood_filter: bool = False
    delivery: Mapping[str, float] = field(default_factory=dict)
    delivery_after: tuple[float, float] = (5.0, 30.0)
    logs_lag: float = 0.0
    logs_limit: int = 120
    logs_scope: bool = True
    token_lifetime: float = 3600.0
    keep: int = 100_000
    outbox_file: Path | None = None

    def __post_init__(self) -> None:
        if not self.allow_remote and not is_loopback(self.host):
            raise ValueError(f"{self.host} is not a loopback address: others could read the outbox")
        if isinstance(self.integration_types, str):
            raise TypeError("integration_types is a list of names, not one string")
        check_shares(self.delivery)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach ``host``; a name other than ``localhost`` is not looked up."""
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
            "extra": {
                "application_key": settings.application_key,
                "integration_type": settings.integration_types[0],
            },
        }
    )
