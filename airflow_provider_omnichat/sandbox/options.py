"""The command line of ``omnichat-sandbox``, made of the fields of its settings."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import Field, dataclass, fields
from pathlib import Path
from typing import Any, NoReturn

from airflow_provider_omnichat.sandbox.fault_plan import FaultPlan
from airflow_provider_omnichat.sandbox.faults import as_text
from airflow_provider_omnichat.sandbox.settings import BEHAVIOUR, RECORDS, Credentials, Settings

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
    """Read the command line; exit with 2 and one line of reason for an option that is not acceptable."""
    parser = _parser()
    # Defaults come from the settings, also for an empty value, as an unset variable of a shell leaves.
    given = {name: value for name, value in vars(parser.parse_args(arguments)).items() if value != ""}
    own = {
        name: given.pop(name, default) for name, default in (("ready_file", None), ("verbose", False), ("quiet", False))
    }
    logins = {each.name: given.pop(each.name) for each in fields(Credentials) if each.name in given}
    try:
        plan = FaultPlan(given.pop("fault", ()), given.pop("seed", None))
        settings = Settings(credentials=Credentials(**logins), **{"port": DEFAULT_PORT, **given})
    except ValueError as error:
        parser.error(str(error))
    return Command(settings, plan, **own)


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
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    groups: dict[str, Any] = {}
    for setting in fields(Settings):
        for option in fields(Credentials) if setting.name == "credentials" else (setting,):
            title = option.metadata["group"]
            if title not in groups:
                groups[title] = parser.add_argument_group(title)
            _add(groups[title], option)
    behaviour, keeping = groups[BEHAVIOUR], groups[RECORDS]
    behaviour.add_argument("--fault", action="append", metavar="NAME[:RATE[:ARG]]", help="repeatable, see below")
    behaviour.add_argument("--seed", type=int, help="seed of the faults: same seed, same requests, same faults")
    keeping.add_argument("--ready-file", type=Path, metavar="PATH", help="write URL and credentials when listening")
    talk = keeping.add_mutually_exclusive_group()
    talk.add_argument("--verbose", action="store_true", help="one line for each invite request, number masked")
    talk.add_argument("--quiet", action="store_true", help="print nothing but errors")
    return parser


def _add(group: Any, option: Field[Any]) -> None:
    how, default = dict(option.metadata), option.default
    del how["group"]
    flag = how.pop("flag") or option.name.replace("_", "-")
    if isinstance(default, bool):  # one that is on can only be turned off
        flag, how["action"] = (f"no-{flag}", "store_false") if default else (flag, "store_true")
    elif isinstance(default, str | int | float):
        shown = DEFAULT_PORT if option.name == "port" else default
        how["help"] += f" (default: {shown})"
    group.add_argument(f"--{flag}", dest=option.name, **how)
