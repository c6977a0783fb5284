"""The command ``omnichat-ledger``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from airflow_provider_omnichat.cli.commands import NAME, read_arguments

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line says (by default that of the process); one that cannot be read exits with 2."""
    given = read_arguments(arguments)
    return run(given.command, given)


def run(command: str, arguments: argparse.Namespace) -> int:
    """Run one of the commands: return 0 when it was done, 1 when it was not."""
    from airflow_provider_omnichat.cli.silent_airflow import silent_airflow

    with silent_airflow() as is_light:
        from airflow.providers.common.compat.sdk import AirflowException

        from airflow_provider_omnichat.api.errors import OmnichatError
        from airflow_provider_omnichat.cli.ledger_commands import run_command

        try:
            return run_command(command, arguments, is_light=is_light)
        except (AirflowException, OmnichatError, ValueError) as error:
            print(f"{NAME}: {error}", file=sys.stderr)
        except BrokenPipeError:  # what reads the output has seen enough
            sys.stdout = None
        except KeyboardInterrupt:
            print(f"{NAME}: ended; nothing was changed", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
