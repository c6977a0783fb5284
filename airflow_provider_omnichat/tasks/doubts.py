"""The invites in doubt that a task looks up: of a campaign in the SQL ledger, or of another task without one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_omnichat.api.errors import InvalidInviteError
from airflow_provider_omnichat.api.identity import recipient_key
from airflow_provider_omnichat.api.privacy import scrub
from airflow_provider_omnichat.api.sms import SmsInvite
from airflow_provider_omnichat.campaign.ledger.admin import LedgerAdmin
from airflow_provider_omnichat.campaign.ledger.audit import LedgerAudit
from airflow_provider_omnichat.campaign.ledger.interface import Entry, Settlement
from airflow_provider_omnichat.campaign.ledger.task_state import CheckedStore
from airflow_provider_omnichat.campaign.ledger.task_state_doubts import HASH_DIGITS, doubts_in_store, settle_in_store
from airflow_provider_omnichat.campaign.model.field_values import value_in
from airflow_provider_omnichat.campaign.model.message_ids import MessageIds, with_mark
from airflow_provider_omnichat.campaign.model.rows import Row
from airflow_provider_omnichat.campaign.phone.number import checked_region, normalise_number
from airflow_provider_omnichat.campaign.rows.columns import Need, RowColumns
from airflow_provider_omnichat.hooks.airflow_api import RemoteStateStore, airflow_client
from airflow_provider_omnichat.hooks.databases import ledger_database
from airflow_provider_omnichat.tasks.earlier_tries import BEGUN_KEY, STATE_STORE
from airflow_provider_omnichat.tasks.ended_tasks import ended_tasks
from airflow_provider_omnichat.tasks.row_sources import GivenRows, QueryRows

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class Doubts(NamedTuple):
    """What is in doubt: *total* also counts those without a known number; *entries* by number; what settles some."""

    campaign: str
    total: int
    entries: Mapping[str, Entry]
    settle: Callable[[Mapping[str, Settlement]], Collection[str]]


def doubts_in_table(context: Context, campaign: str, conn_id: str, table: str, *, is_typed: bool) -> Doubts:
    """Read those of a campaign in the SQL ledger, but for people who were forgotten."""
    database, has_ended = ledger_database(conn_id), ended_tasks(context)
    audit = LedgerAudit(database, table)
    rows = [row for row in audit.doubts(campaign) if not row.is_forgotten]
    # Somebody may have mistyped the name; the campaign of a manifest may be empty.
    if is_typed and not rows and not audit.reasons(campaign):
        raise AirflowFailException(
            f"The ledger table {table} of connection {conn_id!r} has no invite of campaign {scrub(campaign)!r}; check"
            " its name there (with resend_key, it is campaign#resend_key)"
        )

    def settle(found: Mapping[str, Settlement]) -> Collection[str]:
        with closing(LedgerAdmin(database, table, has_ended)) as admin:
            return admin.settle(campaign, found)

    entries = {row.recipient: _entry(row.earliest, row.latest, row.message_id or None) for row in rows}
    return Doubts(campaign, len(rows), entries, settle)


def doubts_of_task(operator: Any, context: Context, task: str) -> Doubts:
    """Read those of another task that has ended, from its task state store; *task* is its identity."""
    client, has_ended = airflow_client(operator.api_conn_id), ended_tasks(context)

    def opened() -> RemoteStateStore:
        if not (ended := has_ended(task)):
            raise AirflowException(
                f"Airflow has no task instance {task}; check send_dag_id, send_run_id and send_task_id"
                if ended is None
                else f"{task} has not ended. Run this task after it, with trigger_rule='all_done'"
            )
        return RemoteStateStore(client, task)

    store = opened()
    begun = store.get(BEGUN_KEY) or {"campaign": task, "ledger": STATE_STORE}
    campaign, ledger = begun["campaign"], begun["ledger"]
    if ledger != STATE_STORE:
        raise AirflowFailException(f"{task} uses the ledger {ledger}; give its campaign and ledger_conn_id instead")
    doubts = {doubt.recipient[:HASH_DIGITS]: doubt for doubt in doubts_in_store(store, campaign)}
    numbers = _listed_numbers(operator, campaign, doubts.keys()) if doubts else {}
    in_doubt = {number: doubts[recipient] for recipient, number in numbers.items()}

    def settle(found: Mapping[str, Settlement]) -> Collection[str]:
        # The store is read again, since users may have settled others. The task may begin at this moment, without
        # seeing it: what it writes is newer, and it sends nothing because somebody was settled as sent.
        known = {in_doubt[number].recipient: settlement for number, settlement in found.items()}
        return settle_in_store(opened(), campaign, known)

    ids = MessageIds(CheckedStore(store).id_key(), campaign) if any(doubt.mark for doubt in doubts.values()) else None

    def id_of(number: str, mark: str | None) -> str | None:
        named = ids.named(SmsInvite(number, ""), recipient_key(campaign, number)) if ids else None
        return with_mark(named.message_id, mark) if named else None

    entries = {number: _entry(doubt.at, doubt.end, id_of(number, doubt.mark)) for number, doubt in in_doubt.items()}
    return Doubts(campaign, len(doubts), entries, settle)


def _entry(begin: Any, end: Any, message_id: str | None = None) -> Entry:
    return Entry(None, end, claimed_at=begin, message_id=message_id)


def _listed_numbers(operator: Any, campaign: str, recipients: Collection[str]) -> dict[str, str]:
    """Return the numbers of some recipients, by the first digits of their keys, from the list of the operator."""
    named = {name: getattr(operator, name) for name in ("to_column", "region_column")}
    columns = RowColumns([Need(column, column, name) for name, column in named.items() if column])
    given, region = operator.private("invites"), checked_region(operator.default_region)
    source = (
        QueryRows(given["conn_id"], given["sql"], given.get("parameters"), columns, operator.log)
        if isinstance(given, Mapping) and {"conn_id", "sql"} <= given.keys()
        else GivenRows(given, columns)
    )
    found = dict[str, str]()
    with source.open(reads_twice=False) as rows:
        for row in rows:
            fields = row.fields if isinstance(row, Row) else {}
            country = value_in(fields, operator.region_column)
            with suppress(InvalidInviteError):  # nobody was sent to
                number = normalise_number(value_in(fields, operator.to_column), region, country and str(country))
                if (recipient := recipient_key(campaign, number)[:HASH_DIGITS]) in recipients:
                    found.setdefault(recipient, number)
    return found
