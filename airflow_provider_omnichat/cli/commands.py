"""The commands and their arguments, once for our own parser and for ``airflow omnichat-ledger`` (Airflow 3.2)."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_omnichat.campaign.ledger.sql_table import DEFAULT_TABLE

if TYPE_CHECKING:
    from airflow.cli.cli_config import CLICommand

NAME = "omnichat-ledger"
HELP = "Show campaigns of omnichat invites in the SQL ledger, and settle invites in doubt"

_CONNECTION_VARIABLE = "OMNICHAT_LEDGER_CONN_ID"
_AGE = re.compile(r"(\d{1,5})([dw])")


def age(text: str) -> timedelta:
    """Read ``400d`` or ``52w``."""
    found = _AGE.fullmatch(text)
    if not found or not int(found[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is not an age; write days or weeks: 400d, 52w")
    return timedelta(**{{"d": "days", "w": "weeks"}[found[2]]: int(found[1])})


class Argument(NamedTuple):
    """One argument of a command: its names, and the options of :meth:`argparse.ArgumentParser.add_argument`."""

    flags: tuple[str, ...]
    options: Mapping[str, Any]


def _argument(*flags: str, **options: Any) -> Argument:
    return Argument(flags, options)


def _connection() -> Argument:
    default = os.environ.get(_CONNECTION_VARIABLE)
    text = f"the Airflow connection to the ledger's database; {_CONNECTION_VARIABLE} if not given"
    return _argument("--conn-id", default=default, required=default is None, help=text)


class Command(NamedTuple):
    """One command; *changes* if it changes a table."""

    name: str
    help: str
    own_arguments: tuple[Argument, ...]
    changes: bool = False

    @property
    def arguments(self) -> tuple[Argument, ...]:
        """Its own arguments, and those that all commands have."""
        return (*self.own_arguments, *((_YES,) if self.changes else ()), _connection(), _TABLE)


_CAMPAIGN = _argument("campaign", help="the campaign's name, as the task has it")
_CSV = _argument("--csv", action="store_true", help="as CSV")
_NUMBER = _argument("number", help="a phone number with its country code: '+41 79 302 67 27'")
_TABLE = _argument("--table", default=DEFAULT_TABLE, help=f"its name; {DEFAULT_TABLE} if not given")
_YES = _argument("--yes", action="store_true", help="do it without asking")
_SETTLE = (
    _CAMPAIGN,
    _argument("--row-key", action="append", help="the row's key; may be given several times"),
    _argument("--number", action="append", help="the number; may be given several times"),
    _argument("--reason", metavar="CODE", help="all that are in doubt for this reason"),
    _argument(
        "--as",
        dest="settle_as",
        choices=("sent", "not-sent", "in-doubt"),
        required=True,
        help="sent: it never goes out again; not-sent: the next try of the task sends it; in-doubt: undo a wrong"
        " not-sent, until a task has claimed it again",
    ),
    _argument("--why", required=True, help="how you know; kept with it"),
    _argument("--by", help="who says so; your user on this machine if not given"),
    _argument(
        "--no-task-runs",
        action="store_true",
        help="you have seen that no task of the campaign runs: claims that are younger than an hour and have no outcome"
        " are settled, too",
    ),
)
_OLDER_THAN = _argument("--older-than", type=age, required=True, metavar="AGE", help="in days or weeks: 400d, 52w")
_WITH_DOUBTS = _argument("--with-doubts", action="store_true", help="those with invites in doubt, too")
_WHOLE_NUMBERS = _argument("--whole-numbers", action="store_true", help="do not mask them")
_KIND = _argument("--kind", choices=("ledger", "results"), default="ledger", help="what the table holds")

COMMANDS = (
    Command("campaigns", "list the campaigns, the latest first", (_CSV,)),
    Command("status", "count a campaign's invites by outcome and reason", (_CAMPAIGN,)),
    Command("doubts", "list the invites of a campaign that are in doubt", (_CAMPAIGN, _CSV, _WHOLE_NUMBERS)),
    Command("settle", "record that invites in doubt were sent, or were not", _SETTLE, changes=True),
    Command("forget", "erase a number; it still gets no second invite of a campaign", (_NUMBER,), changes=True),
    Command("export", "print all that is held of a number, as JSON", (_NUMBER,)),
    Command("prune", "delete campaigns of which nothing happened for long", (_OLDER_THAN, _WITH_DOUBTS), changes=True),
    Command("upgrade", "add the columns that a table made by an older version lacks", (_KIND,), changes=True),
)


def read_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line, by default that of the process; the command's name is in ``command``."""
    parser = argparse.ArgumentParser(NAME, description=f"{HELP}.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        own = commands.add_parser(command.name, help=command.help, description=f"{command.help.capitalize()}.")
        for argument in command.arguments:
            own.add_argument(*argument.flags, **argument.options)
    return parser.parse_args(arguments)


def get_ledger_cli_commands() -> list[CLICommand]:
    """Return what Airflow adds to its command line; see the key ``cli`` of the provider's description."""
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand

    make: Any = Arg  # has no types
    actions = [
        ActionCommand(
            name=command.name,
            help=command.help,
            func=partial(_run, command.name),
            args=[make(flags=argument.flags, **argument.options) for argument in command.arguments],
        )
        for command in COMMANDS
    ]
    return [GroupCommand(name=NAME, help=HELP, subcommands=actions)]


def _run(command: str, arguments: argparse.Namespace) -> None:
    from airflow_provider_omnichat.cli.__main__ import run

    if code := run(command, arguments):
        raise SystemExit(code)
