"""The kinds of places where result rows live, and how each is found. Nothing else asks of which kind a place is."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_omnichat.api.identity import recipient_key
from airflow_provider_omnichat.api.privacy import shown_address
from airflow_provider_omnichat.campaign.ledger.place import LedgerPlace
from airflow_provider_omnichat.campaign.ledger.sql_table import DEFAULT_TABLE
from airflow_provider_omnichat.campaign.model.names import distinct_name
from airflow_provider_omnichat.campaign.model.place import STATE_STORE, NoPlace, Place, PlaceError
from airflow_provider_omnichat.campaign.results.directory import owner_of
from airflow_provider_omnichat.campaign.results.files import ResultFiles
from airflow_provider_omnichat.campaign.results.table import ResultTable
from airflow_provider_omnichat.hooks.databases import ledger_database, result_database
from airflow_provider_omnichat.tasks.fields import FieldsMixin
from airflow_provider_omnichat.tasks.given_files import check_address, storage_path
from airflow_provider_omnichat.tasks.ledger import batch_name, task_identity

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

_LONGEST_NAME = 200
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._=+-]")


RowsIn = Mapping[str, Any]
"""``kind`` and what finds the place, as the manifest has it."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A task instance whose rows are asked for."""

    identity: str
    campaign: str
    argument: Callable[[str], Any]  # by name; None if it is empty or unknown
    try_number: int = 0
    is_rendered: bool = False  # the arguments are the rendered fields that Airflow stored, which hide secrets
    has_ended: bool = False  # no try of it is at work
    pushed_location: str | None = None  # by the task; users who may edit XComs may have changed it

    @property
    def name(self) -> str:
        return batch_name(self.identity, self.argument("campaign"), self.argument("resend_key"))

    def recipient_of(self, to: str) -> str:
        return recipient_key(self.campaign, to)


class Kind(NamedTuple):
    """How places of a kind are found, by the batch's arguments or by a manifest; with a batch, to be written to."""

    describe: Callable[[Batch], RowsIn | None]
    open: Callable[[RowsIn, Batch | None], Place]


def place_of(batch: Batch) -> Place:
    """Find the place that a batch's arguments name: the first kind of :data:`KINDS` that they do."""
    for kind in KINDS.values():
        if rows_in := kind.describe(batch):
            return kind.open(rows_in, batch)
    if batch.pushed_location:
        raise PlaceError(
            f"The rows are in {shown_address(batch.pushed_location)}, a kind of place that Airflow's API server does"
            " not know. Install on it what the workers have"
        )
    if batch.is_rendered and not has_state_store():
        return NoPlace(
            "This task keeps no rows: this Airflow has no task state store (it came with 3.3). With ledger_conn_id, or"
            " in a batch with results_path or results_table (if the list is a query), they are kept"
        )
    return STATE_STORE


def place_at(rows_in: RowsIn | None) -> Place:
    """Find the place that a manifest describes."""
    if not rows_in:
        return STATE_STORE
    kind = KINDS.get(rows_in["kind"])
    if kind is None:
        raise PlaceError(
            f"The rows of this batch are in a place of the kind {rows_in['kind']!r}, which this worker does not know;"
            f" it knows {', '.join(KINDS)}. Install on it what the worker that sent them has"
        )
    return kind.open(rows_in, None)


def place_of_operator(operator: FieldsMixin, context: Context, campaign: str) -> Place:
    """Find the place that the arguments of a running task name; see :func:`place_of`."""

    def argument(name: str) -> Any:
        value = operator.private(name) if hasattr(operator, name) else None
        return value or None

    return place_of(Batch(task_identity(context), campaign, argument, context["ti"].try_number))


def has_state_store() -> bool:
    """Return whether this Airflow has a task state store: 3.3 and later."""
    return find_spec("airflow.models.task_state_store") is not None


def _describe_table(batch: Batch) -> RowsIn | None:
    table = batch.argument("results_table")
    conn_id = batch.argument("results_conn_id") or batch.argument("conn_id")
    return table and {"kind": ResultTable.kind, "conn_id": conn_id, "table": table, "batch": batch.name}


def _open_table(rows_in: RowsIn, batch: Batch | None) -> Place:
    database, table, name = result_database(rows_in["conn_id"]), rows_in["table"], rows_in["batch"]
    if batch is None:
        return ResultTable(database, table, batch=name)
    return ResultTable(database, table, batch=name, try_number=batch.try_number, recipient_of=batch.recipient_of)


def _describe_files(batch: Batch) -> RowsIn | None:
    path = batch.argument("results_path")
    if not path:
        return None
    if batch.is_rendered:
        return {"kind": ResultFiles.kind, "path": _pushed_folder(batch, path)}
    check_address(str(path), "results_path", takes_query=False)
    names = folder_names(batch.identity, batch.argument("resend_key"))
    return {"kind": ResultFiles.kind, "path": str(storage_path(str(path)).joinpath(*names))}


def _open_files(rows_in: RowsIn, batch: Batch | None) -> Place:
    folder = storage_path(rows_in["path"])
    if batch is None:
        return ResultFiles(folder)
    with suppress(Exception):  # reported when it is written to
        folder.fs  # noqa: B018 - here Airflow looks the connection up, for all paths below
    return ResultFiles(
        folder,
        format=batch.argument("results_format") or "jsonl",
        try_number=batch.try_number,
        owner=batch.name,
        key_column=batch.argument("key_column"),
        recipient_of=batch.recipient_of,
    )


def _pushed_folder(batch: Batch, rendered_path: str) -> str:
    # The rendered path lacks the id of a connection, so that the pushed one is opened; it must be the task's own folder
    # below the rendered path: beside it are those of other DAGs.
    own = "/".join(["", *folder_names(batch.identity, batch.argument("resend_key"))])
    location = batch.pushed_location
    root = (location or "").rstrip("/").removesuffix(own)
    if not location or root == location.rstrip("/") or shown_address(root).rstrip("/") != rendered_path.rstrip("/"):
        raise PlaceError(f"The result files below {rendered_path} cannot be told from others; see them there")
    folder = storage_path(location)
    if not folder.exists():
        raise PlaceError(
            f"Airflow's API server cannot reach the result files, or there are none yet: {shown_address(location)}."
            " Those on the disk of a worker are read by that worker alone; a bucket, or results_table, can be read from"
            " here"
        )
    if owner_of(folder) not in (None, batch.name):
        raise PlaceError(f"The result files in {shown_address(location)} are those of another task or campaign")
    return location


def folder_names(identity: str, resend_key: str | None) -> list[str]:
    """Name the folders from ``results_path`` to the files of a task instance."""
    parts = [*identity.split("/"), *([f"resend={resend_key}"] if resend_key else [])]
    return [distinct_name(part, _NOT_IN_A_NAME.sub("_", part).strip("."), _LONGEST_NAME) for part in parts]


def _describe_ledger(batch: Batch) -> RowsIn | None:
    conn_id = batch.argument("ledger_conn_id")
    table = batch.argument("ledger_table") or DEFAULT_TABLE
    ledger = {"kind": LedgerPlace.kind, "conn_id": conn_id, "table": table, "campaign": batch.campaign}
    return conn_id and {**ledger, "owner": batch.identity}


def _open_ledger(rows_in: RowsIn, batch: Batch | None) -> Place:
    names = rows_in["campaign"], rows_in["owner"], rows_in["table"]
    return LedgerPlace(ledger_database(rows_in["conn_id"]), *names, has_ended=batch is not None and batch.has_ended)


KINDS: dict[str, Kind] = {
    ResultTable.kind: Kind(_describe_table, _open_table),
    ResultFiles.kind: Kind(_describe_files, _open_files),
    LedgerPlace.kind: Kind(_describe_ledger, _open_ledger),
}
"""Every kind of place with rows, by its name in the manifest. If arguments name several, the first one counts."""
