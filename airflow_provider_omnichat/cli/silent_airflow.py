"""Airflow as a command needs it: silent on the standard output, and set up no further than necessary."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def silent_airflow() -> Iterator[bool]:
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


def find(look: Callable[[], T], is_light: bool) -> T:
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
