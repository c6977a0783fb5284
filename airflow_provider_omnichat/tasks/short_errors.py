"""Errors as they stand in a task's log: what has happened and what to do, not where in the provider it was noticed."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_omnichat.api.errors import OmnichatError


def shorten(error: BaseException) -> None:
    """
    Leave the provider's own calls out of the traceback of an error that says all by itself.

    What such an error was raised from keeps its traceback; so does an error that nobody has thought of.

    :param error: that is about to be raised on.
    """
    if isinstance(error, AirflowException | OmnichatError):
        error.__traceback__ = None
