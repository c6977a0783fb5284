"""The options of ``omnichat-sandbox``, read into settings."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from airflow_provider_omnichat.sandbox.delivery import ENDINGS
from airflow_provider_omnichat.sandbox.fault_plan import FaultPlan
from airflow_provider_omnichat.sandbox.fault_table import as_text
from airflow_provider_omnichat.sandbox.faults import FaultError
from airflow_provider_omnichat.sandbox.option_values import count, number, port, positive, seconds, shares
from airflow_provider_omnichat.sandbox.settings import Credentials, Settings, is_loopback, new_application_key

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_PORT = 8085


@dataclass(frozen=True)
class Command:
    """What the command line asks for."""

    settings: Settings
    plan: FaultPlan
    ready_file: Path | None
    verbose: bool
    quiet: bool


def read_options(arguments: Sequence[str] | None = None) -> Command:
    """Read the command line.

    :raises SystemExit: with 2 and one line of reason when an option is not acceptable, with 0 after ``--help``
    """
    parser = _parser()
    given = parser.parse_args(arguments)
    if not given.allow_remote and not is_loopback(given.host):
        parser.error(
            f"--host {given.host} is not a loopback address: others could read the outbox, whole numbers included. "
            "Add --allow-remote if that is meant"
        )
    try:
        plan = FaultPlan(given.fault, given.seed)
    except FaultError as error:
        parser.error(str(error))
    fresh = Credentials()
    settings = Settings(
        host=given.host,
        port=given.port,
        allow_remote=given.allow_remote,
        credentials=Credentials(
            user=given.user or fresh.user,
            password=given.password or fresh.password,
            api_key=given.api_key or fresh.api_key,
            client_id=given.client_id or fresh.client_id,
            client_secret=given.client_secret or fresh.client_secret,
        ),
        application_key=given.application_key or new_application_key(),
        integration_types=tuple(given.integration_type or Settings.integration_types),
        rate_limit=given.rate_limit,
        rate_limit_retry_after=given.rate_limit_retry_after,
        latency=given.latency,
        flood_filter=given.flood_filter,
        delivery=given.delivery,
        delivery_after=given.delivery_after,
        logs_lag=given.logs_lag,
        logs_limit=given.logs_limit,
        logs_scope=not given.no_logs_scope,
        token_lifetime=given.token_lifetime,
        keep=given.keep,
        outbox_file=given.outbox_file,
    )
    return Command(settings, plan, given.ready_file, given.verbose, given.quiet)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; the whole usage would hide it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="omnichat-sandbox",
        usage="%(prog)s [options]",
        description="A local stand-in for the vendor's API: it takes invites, sends no SMS, and fails on demand.",
        epilog=as_text(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_addresses(parser)
    _add_behaviour(parser)
    _add_delivery(parser)
    _add_records(parser)
    return parser


def _add_addresses(parser: argparse.ArgumentParser) -> None:
    listening = parser.add_argument_group("where it listens")
    listening.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    listening.add_argument(
        "--port", type=port, default=DEFAULT_PORT, help="port; 0 takes a free one (default: %(default)s)"
    )
    listening.add_argument("--allow-remote", action="store_true", help="accept a --host that other machines can reach")

    access = parser.add_argument_group("who is let in (what is not given is made up at random)")
    access.add_argument("--user")
    access.add_argument("--password")
    access.add_argument("--api-key")
    access.add_argument("--client-id", help="OAuth2 client")
    access.add_argument("--client-secret", help="OAuth2 secret")
    access.add_argument("--token-lifetime", type=positive, default=3600.0, metavar="SECONDS", help="default: 3600")
    access.add_argument("--application-key", metavar="KEY", help="the application that exists from the start")
    access.add_argument(
        "--integration-type",
        action="append",
        metavar="TYPE",
        help="an integration that is set up; repeatable (default: FACEBOOK and TELEGRAM)",
    )


def _add_behaviour(parser: argparse.ArgumentParser) -> None:
    behaviour = parser.add_argument_group("how it behaves")
    behaviour.add_argument("--fault", action="append", default=[], metavar="NAME[:RATE[:ARG]]", help="repeatable")
    behaviour.add_argument("--seed", type=int, help="seed of the faults: same seed, same requests, same faults")
    behaviour.add_argument("--rate-limit", type=positive, metavar="N", help="invites a second; beyond it 429")
    behaviour.add_argument("--rate-limit-retry-after", action="store_true", help="that 429 carries Retry-After: 1")
    behaviour.add_argument(
        "--latency", type=seconds, default=(0.0, 0.0), metavar="SECONDS", help="of each answer: 0.05, or 0.01-0.2"
    )
    behaviour.add_argument(
        "--flood-filter", action="store_true", help="refuse the 7th identical or 21st different text to a number"
    )


def _add_delivery(parser: argparse.ArgumentParser) -> None:
    delivery = parser.add_argument_group("what becomes of accepted invites (GET /sms/3/logs)")
    delivery.add_argument(
        "--delivery",
        type=shares,
        default={},
        metavar="NAME:SHARE,...",
        help=f"how they end, the rest is delivered; NAME is one of {', '.join(ENDINGS)}",
    )
    delivery.add_argument(
        "--delivery-after", type=seconds, default=(5.0, 30.0), metavar="SECONDS", help="default: 5-30"
    )
    delivery.add_argument("--logs-lag", type=number, default=0.0, metavar="SECONDS", help="until the logs have them")
    delivery.add_argument("--logs-limit", type=count, default=120, metavar="N", help="requests a minute; beyond it 429")
    delivery.add_argument("--no-logs-scope", action="store_true", help="the credentials may not read the logs: 403")


def _add_records(parser: argparse.ArgumentParser) -> None:
    keeping = parser.add_argument_group("what it keeps and says")
    keeping.add_argument(
        "--keep",
        type=count,
        default=100_000,
        metavar="N",
        help="invite requests kept in memory (default: %(default)s)",
    )
    keeping.add_argument("--outbox-file", type=Path, metavar="PATH", help="append each invite request as a JSON line")
    keeping.add_argument("--ready-file", type=Path, metavar="PATH", help="write URL and credentials when listening")
    talk = keeping.add_mutually_exclusive_group()
    talk.add_argument("--verbose", action="store_true", help="one line for each invite request, number masked")
    talk.add_argument("--quiet", action="store_true", help="print nothing but errors")
