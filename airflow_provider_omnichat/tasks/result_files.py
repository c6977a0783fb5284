"""From the address of a folder to the result files of a task."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, Protocol

from airflow_provider_omnichat.campaign.model.names import distinct_name
from airflow_provider_omnichat.campaign.phone.identity import recipient_key
from airflow_provider_omnichat.campaign.results.files import ResultFiles
from airflow_provider_omnichat.campaign.results.sink import NoResults, ResultSink
from airflow_provider_omnichat.tasks.given_files import check_address, storage_path
from airflow_provider_omnichat.tasks.ledger import batch_name, task_identity

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

_LONGEST_NAME = 200
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._=+-]")


class WritesResultFiles(Protocol):
    """What is used of an operator."""

    results_format: Literal["jsonl", "csv"]
    campaign: str | None
    resend_key: str
    key_column: str | None

    def private(self, name: str) -> Any:
        """Give the true value of a private field."""


def result_files(operator: WritesResultFiles, context: Context, campaign: str) -> ResultSink:
    """
    Give the files of this task instance, in a folder of its own below ``results_path``.

    :param operator: whose arguments say where.
    :param context: of the task.
    :param campaign: the campaign's name.
    :raises ValueError: there is nothing that could be written to at the address.
    """
    results_path = operator.private("results_path")
    if not results_path:
        return NoResults()
    check_address(str(results_path), "results_path", takes_query=False)
    identity = task_identity(context)
    root = storage_path(str(results_path))
    with suppress(Exception):  # which is told when it is written to
        root.fs  # noqa: B018 - here Airflow looks the connection up, for all paths below
    return ResultFiles(
        root.joinpath(*folder_names(identity, operator.resend_key)),
        format=operator.results_format,
        try_number=context["ti"].try_number,
        owner=batch_name(identity, operator.campaign, operator.resend_key),
        key_column=operator.key_column,
        recipient_of=lambda to: recipient_key(campaign, to),
    )


def folder_names(identity: str, resend_key: str | None) -> list[str]:
    """
    Name the folders from ``results_path`` to the files of a task instance.

    :param identity: of the task instance; see :func:`~airflow_provider_omnichat.tasks.ledger.task_identity`.
    :param resend_key: the user's word for sending on purpose once more; empty for none.
    """
    parts = [*identity.split("/"), *([f"resend={resend_key}"] if resend_key else [])]
    return [distinct_name(part, _NOT_IN_A_NAME.sub("_", part).strip("."), _LONGEST_NAME) for part in parts]
