"""From a task instance to the place where its rows can be read, and why there is none."""

from __future__ import annotations

from typing import NamedTuple

from airflow_provider_omnichat.api.privacy import shown_address
from airflow_provider_omnichat.campaign.ledger.ledger_pages import LedgerPages
from airflow_provider_omnichat.campaign.ledger.sql_statements import DEFAULT_TABLE
from airflow_provider_omnichat.campaign.model.pages import PageError, RowPages
from airflow_provider_omnichat.campaign.results.directory import owner_of
from airflow_provider_omnichat.campaign.results.file_pages import FilePages
from airflow_provider_omnichat.campaign.results.table_pages import TablePages
from airflow_provider_omnichat.hooks.databases import ledger_database, result_database
from airflow_provider_omnichat.plugins.invites.sending_tasks import SendingTask
from airflow_provider_omnichat.tasks.given_files import storage_path
from airflow_provider_omnichat.tasks.ledger import batch_name
from airflow_provider_omnichat.tasks.result_files import folder_names


class RowPlace(NamedTuple):
    """
    Where the rows of a task are.

    :param pages: reads them; None where that cannot be done here.
    :param why_not: for people, with what to do.
    """

    pages: RowPages | None
    why_not: str = ""


def row_place(task: SendingTask) -> RowPlace:
    """
    Find the rows of a task: in its results, else in its ledger.

    Connections and tables are taken from the rendered fields, which only a worker writes: an XCom may be edited by
    people who have no right to a connection.

    :param task: the task instance.
    """
    try:
        return _found(task)
    except PageError as error:
        return RowPlace(None, str(error))
    except Exception as error:  # no such connection, or a provider that the API server lacks
        return RowPlace(
            None,
            f"Airflow's API server cannot reach the rows ({type(error).__name__}). It needs the connection that the"
            " task uses, and the provider of its type",
        )


def _found(task: SendingTask) -> RowPlace:
    if not task.rendered:
        return RowPlace(None, "Airflow no longer has the rendered fields of this task, which say where its rows are")
    if table := rendered_text(task, "results_table"):
        database = result_database(rendered_text(task, "results_conn_id") or rendered_text(task, "conn_id") or "")
        return RowPlace(TablePages(database, table, _batch(task)))
    if rendered_path := rendered_text(task, "results_path"):
        return _files(task, rendered_path, task.progress.results)
    if conn_id := rendered_text(task, "ledger_conn_id"):
        pages = LedgerPages(ledger_database(conn_id), task.progress.campaign, task.identity, ledger_table(task))
        return RowPlace(pages)
    return RowPlace(
        None,
        "This task keeps no rows that could be listed: Airflow's task state store knows them by a hash of their numbers"
        " alone. With ledger_conn_id they stand here, and those of a batch with results_path or results_table, too",
    )


def _files(task: SendingTask, rendered_path: str, location: str | None) -> RowPlace:
    # The rendered path lacks the id of a connection, so that the pushed one is opened; it must be the task's own folder
    # below the rendered path: beside it are those of other DAGs.
    own = "/".join(["", *folder_names(task.identity, rendered_text(task, "resend_key"))])
    root = (location or "").rstrip("/").removesuffix(own)
    if not location or root == location.rstrip("/") or shown_address(root).rstrip("/") != rendered_path.rstrip("/"):
        return RowPlace(None, f"The result files below {rendered_path} cannot be told from others; see them there")
    path = storage_path(location)
    if not path.exists():
        return RowPlace(
            None,
            f"The result files are out of the reach of Airflow's API server, or not there yet:"
            f" {shown_address(location)}. Those on the disk of a worker are read by that worker alone; a bucket, or"
            " results_table, can be read from here",
        )
    if owner_of(path) not in (None, _batch(task)):
        return RowPlace(None, f"The result files in {shown_address(location)} are those of another task or campaign")
    return RowPlace(FilePages(path))


def _batch(task: SendingTask) -> str:
    return batch_name(task.identity, rendered_text(task, "campaign"), rendered_text(task, "resend_key"))


def ledger_table(task: SendingTask) -> str:
    """Give the name of the table of a task's ledger."""
    return rendered_text(task, "ledger_table") or DEFAULT_TABLE


def rendered_text(task: SendingTask, name: str) -> str | None:
    """
    Return a rendered field of a task, a whole number as a text; None where it is empty, or something else.

    :param name: of the field.
    """
    value = task.rendered.get(name)
    return str(value) if isinstance(value, str | int) and value not in ("", "None") else None
