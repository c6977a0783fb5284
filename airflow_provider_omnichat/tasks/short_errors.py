"""Errors in a task's log: what has happened and what to do, not where in the provider it was noticed."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.api.tracebacks import leaves_no_locals

P = ParamSpec("P")
T = TypeVar("T")

_PROVIDER = "airflow_provider_omnichat."


def short_errors(method: Callable[P, T]) -> Callable[P, T]:
    """Leave the provider's calls out of the traceback of an error that explains itself, and local variables always."""
    return leaves_no_locals(method, _shorten)


def _shorten(error: BaseException) -> None:
    if not isinstance(error, AirflowException | OmnichatError):
        return
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_globals.get("__name__", "").startswith(_PROVIDER):
            error.__traceback__ = traceback.tb_next
        traceback = traceback.tb_next
