"""The same commands behind ``airflow omnichat-ledger``, where Airflow takes commands of providers (3.2)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_omnichat.cli.commands import COMMANDS, HELP, NAME

if TYPE_CHECKING:
    import argparse

    from airflow.cli.cli_config import CLICommand


def get_ledger_cli_commands() -> list[CLICommand]:
    """Give what Airflow adds to its command line; see the key ``cli`` of the provider's description."""
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand

    make: Any = Arg  # has no types
    actions = [
        ActionCommand(
            name=command.name,
            help=command.help,
            func=partial(_run, command.name),
            args=[make(flags=argument.flags, **argument.options) for argument in command.all_arguments],
        )
        for command in COMMANDS
    ]
    return [GroupCommand(name=NAME, help=HELP, subcommands=actions)]


def _run(command: str, arguments: argparse.Namespace) -> None:
    from airflow_provider_omnichat.cli.__main__ import run

    if code := run(command, arguments):
        raise SystemExit(code)
