"""The command ``omnichat-ledger``, which writes nothing but its answer and sets up no more of Airflow than it needs."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from functools import partial
from typing import TypeVar

from airflow_provider_omnichat.cli.commands import NAME, read_arguments

T = TypeVar("T")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line says (by default that of the process); one that cannot be read exits with 2."""
    given = read_arguments(arguments)
    return run(given.command, given)


def run(command: str, arguments: argparse.Namespace) -> int:
    """Run one of the commands: return 0 when it was done, 1 when it was not."""
    with _silent_airflow() as is_light:
        from airflow.providers.common.compat.sdk import AirflowException

        from airflow_provider_omnichat.api.errors import OmnichatError
        from airflow_provider_omnichat.cli.ledger_commands import run_command

        try:
            return run_command(command, arguments, partial(_find, is_light=is_light))
        except (AirflowException, OmnichatError, ValueError) as error:
            print(f"{NAME}: {error}", file=sys.stderr)
        except BrokenPipeError:  # what reads the output has seen enough
            sys.stdout = None
        except KeyboardInterrupt:
            print(f"{NAME}: ended; nothing was changed", file=sys.stderr)
    return 1


@contextmanager
def _silent_airflow() -> Iterator[bool]:
    """
    Import Airflow, unless it is, and silence its logs and warnings: only the command's answer is written.

    Yields whether its database, logging and plugins are not set up, which takes longer than all the rest.
    """
    # Airflow 3 looks into its own database for connections only in processes that declare themselves part of the
    # server, as its own commands do.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    is_light = "airflow" not in sys.modules
    if is_light:
        os.environ |= {"_AIRFLOW__AS_LIBRARY": "1", "AIRFLOW__LOGGING__LOGGING_LEVEL": "CRITICAL"}
        with suppress(ImportError):  # Airflow 2 may do without it
            import structlog

            structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    log_level = logging.root.manager.disable
    logging.disable(logging.CRITICAL if is_light else logging.WARNING)
    with warnings.catch_warnings():
        with redirect_stdout(sys.stderr):
            import airflow  # it sets its own filters

        warnings.simplefilter("ignore")
        if is_light and airflow.__version__.startswith("3.1."):  # its connections need models that nothing imports
            from airflow.models import import_all_models

            import_all_models()  # type: ignore[no-untyped-call]  # Airflow's own
        try:
            yield is_light
        finally:
            logging.disable(log_level)


def _find(look: Callable[[], T], *, is_light: bool) -> T:
    """Look for a connection in the environment and secrets backends; if that fails, set Airflow up and look again."""
    # What Airflow sets up, local settings and secrets backends write to the standard output is not the answer; nor is
    # what they write later to the output that they find here.
    with redirect_stdout(sys.stderr):
        if is_light:
            with suppress(Exception):
                return look()
            from airflow import settings

            settings.initialize()  # type: ignore[no-untyped-call]  # Airflow's own
            warnings.simplefilter("ignore")
        return look()


if __name__ == "__main__":
    sys.exit(main())
