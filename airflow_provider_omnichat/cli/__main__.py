"""The command ``omnichat-ledger``."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from typing import TYPE_CHECKING

from airflow_provider_omnichat.cli.commands import NAME, read_arguments

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Do what the command line says.

    :param arguments: that of the process if None.
    :return: 0 when it was done, 1 when it was not; a command line that cannot be read ends the process with 2.
    """
    given = read_arguments(arguments)
    return run(given.command, given)


def run(command: str, arguments: argparse.Namespace) -> int:
    """
    Do one of the commands.

    :param command: its name.
    :param arguments: what it takes.
    :return: 0 when it was done, 1 when it was not.
    """
    # Airflow 3 looks into its own database for connections only in processes that say they are of the server's side, as
    # its own commands do.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    # Some releases of Airflow write their log to the standard output, where the answer goes.
    log_level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    from airflow import configuration  # noqa: F401 - it sets filters of its own

    # What Airflow deprecates in itself is no part of what was asked.
    warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"airflow\.")
    from airflow.providers.common.compat.sdk import AirflowException

    from airflow_provider_omnichat.api.errors import OmnichatError
    from airflow_provider_omnichat.cli.ledger_commands import LedgerCommands
    from airflow_provider_omnichat.cli.upgrade_command import upgrade

    try:
        if command == "upgrade":
            return upgrade(arguments)
        return LedgerCommands.of(arguments).run(command, arguments)
    except (AirflowException, OmnichatError, ValueError) as error:
        print(f"{NAME}: {error}", file=sys.stderr)
    except BrokenPipeError:  # what reads the output has seen enough
        sys.stdout = None
    except KeyboardInterrupt:
        print(f"{NAME}: ended; nothing was changed", file=sys.stderr)
    finally:
        logging.disable(log_level)
    return 1


if __name__ == "__main__":
    sys.exit(main())
