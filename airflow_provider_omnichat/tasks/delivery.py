"""From what a sensor is given to the places where the rows of sent invites live."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_omnichat.campaign.model.sentences import sentences

if TYPE_CHECKING:
    from airflow_provider_omnichat.campaign.model.delivery import DeliveryHome

_TAKES = (
    "invites takes a message id, a list of them, or what a task that sent has given, as invites=send.output (an"
    " XComArg)"
)


@contextmanager
def delivery_homes(
    invites: Any, campaign: str | None, ledger_conn_id: str | None, ledger_table: str
) -> Iterator[list[DeliveryHome]]:
    """Find where invites live, and close it at the end."""
    homes: list[DeliveryHome] = []
    try:
        if campaign and ledger_conn_id:
            homes.append(_ledger(ledger_conn_id, ledger_table, campaign))
        else:
            homes.extend(_homes_of(invites))
        yield homes
    finally:
        for home in homes:
            home.close()


def _homes_of(invites: Any) -> Iterator[DeliveryHome]:
    from airflow_provider_omnichat.campaign.model.delivery import GivenMessages

    is_one = isinstance(invites, str | Mapping)
    if not is_one and not isinstance(invites, Iterable):
        raise AirflowFailException(f"{_TAKES}; not a {type(invites).__name__}")
    ids: list[str] = []
    for given in [invites] if is_one else invites:
        if isinstance(given, Mapping) and "rows_in" in given:
            if given["counts"]["accepted"]:
                yield _home_of(given)
        else:
            ids.append(_message_id(given))
    if ids:
        yield GivenMessages(ids)


def _message_id(given: Any) -> str:
    """Take a message id, or the one in the answer that a single invite's task gives."""
    found = given.get("messageId") if isinstance(given, Mapping) else given
    if not isinstance(found, str):
        kind = "without a messageId" if isinstance(given, Mapping) else f"that is a {type(given).__name__}"
        raise AirflowFailException(f"{_TAKES}; one is given {kind}")
    if found.lstrip()[:1] in {"{", "["}:
        raise AirflowFailException(f"{_TAKES}; a template makes a text of what it is given")
    return found


def _home_of(manifest: Mapping[str, Any]) -> DeliveryHome:
    rows_in = manifest["rows_in"]
    kind = rows_in["kind"] if rows_in else None
    if kind == "ledger":
        return _ledger(rows_in["conn_id"], rows_in["table"], rows_in["campaign"], rows_in["owner"])
    if kind == "table":
        from airflow_provider_omnichat.campaign.results.delivery_table import TableDelivery
        from airflow_provider_omnichat.hooks.databases import result_database

        return TableDelivery(result_database(rows_in["conn_id"]), rows_in["table"], rows_in["batch"])
    if kind == "files":
        from airflow_provider_omnichat.campaign.results.delivery_files import FileDelivery
        from airflow_provider_omnichat.tasks.given_files import storage_path

        return FileDelivery(storage_path(rows_in["path"]))
    raise AirflowFailException(
        "The rows of this batch are in Airflow's task state store, which only its own task can read. Give the batch"
        " results_path, results_table (where the list is a query) or ledger_conn_id"
    )


def _ledger(conn_id: str, table: str, campaign: str, owner: str | None = None) -> DeliveryHome:
    from airflow_provider_omnichat.campaign.ledger.audit import LedgerAudit
    from airflow_provider_omnichat.campaign.ledger.delivery import LedgerDelivery
    from airflow_provider_omnichat.hooks.databases import ledger_database

    database = ledger_database(conn_id)
    try:
        audit = LedgerAudit(database, table)
    except ValueError as error:  # the table's name is none, and stays so
        raise AirflowFailException(sentences(str(error))) from None
    if not audit.counts(campaign):  # reads only: a table that is missing is not made here
        raise AirflowFailException(
            f"The ledger table {table} of connection {conn_id!r} has no invite of this campaign; see its name there"
            " (with resend_key, it is campaign#resend_key)"
        )
    return LedgerDelivery(database, campaign, table, owner)
