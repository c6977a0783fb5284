"""Doubts that were settled: who settled them and why, and rows that say so, whatever their place has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.api.identity import recipient_key
from airflow_provider_omnichat.api.privacy import mask_number
from airflow_provider_omnichat.campaign.ledger.audit import LedgerAudit
from airflow_provider_omnichat.campaign.ledger.interface import Settlement
from airflow_provider_omnichat.campaign.ledger.task_state_doubts import HASH_DIGITS, standing_in_store
from airflow_provider_omnichat.campaign.model.pages import Page, PageQuery, ShownRow
from airflow_provider_omnichat.campaign.model.place import Place, UnwrittenPlace
from airflow_provider_omnichat.hooks.databases import ledger_database
from airflow_provider_omnichat.plugins.invites.access import reference_of
from airflow_provider_omnichat.plugins.invites.sending_tasks import SendingTask
from airflow_provider_omnichat.plugins.invites.state_store import ServerSideStore

MOST_SETTLED = 1000
_MOST_LISTED = 100
_OUTCOMES = {True: "accepted", False: "not_sent"}


class ShownSettled(NamedTuple):
    """An invite that was settled; *recipient* as in :class:`.ShownDoubt`, *number* masked."""

    recipient: str
    name: str
    number: str
    settlement: Settlement

    @property
    def reference(self) -> str:
        return reference_of(self.recipient)


class SettledPlace(UnwrittenPlace):
    """A place whose rows still say *in doubt* of invites *settled* since, by the digits of a hash; here they do not."""

    kind = "settled"
    location: str | None = None
    sorts = False

    def __init__(self, place: Place, campaign: str, settled: Mapping[str, Settlement]) -> None:
        self._place, self._campaign, self._settled = place, campaign, settled
        self.location, self.sorts, self.lists = place.location, place.sorts, place.lists

    def page(self, query: PageQuery) -> Page:
        """See :class:`.Place`; rows that were settled come first among those of their new outcome."""
        page = self._place.page(query)
        rows = list(page.rows)
        if query.outcome in _OUTCOMES.values() and not query.after:
            rows = [*self._place.page(query._replace(outcome="unknown", size=MOST_SETTLED)).rows, *rows]
        rows = [self._row(row) for row in rows]
        return page._replace(rows=[row for row in rows if query.outcome in (None, row.outcome)])

    def _row(self, row: ShownRow) -> ShownRow:
        if row.outcome != "unknown" or not row.number:
            return row
        found = self._settled.get(recipient_key(self._campaign, row.number)[:HASH_DIGITS])
        if found is None:
            return row
        reason = f"settled {found.described}. It was in doubt: {row.reason}"
        return row._replace(outcome=_OUTCOMES[found.was_sent], reason=reason, try_number=None)


class Settled(NamedTuple):
    """The settled invites of a task, the newest first, and its rows as they are now."""

    rows: Sequence[ShownSettled]
    place: Place


def settled_of(session: Session, task: SendingTask, place: Place) -> Settled:
    """Read what was settled of a task's doubts; nothing if the ledger cannot be read, which the page says already."""
    conn_id, campaign = task.rendered_text("ledger_conn_id"), task.progress.campaign
    if not task.settled:
        return Settled([], place)
    try:
        found = list(_in_table(task, conn_id) if conn_id else _in_store(session, task))
    except OmnichatError:
        found = []
    settled = {each.recipient[:HASH_DIGITS]: each.settlement for each in found}
    return Settled(found[:_MOST_LISTED], SettledPlace(place, campaign, settled))


def _in_table(task: SendingTask, conn_id: str) -> Iterator[ShownSettled]:
    campaign = task.progress.campaign
    newest: dict[str, Any] = {"order": "updated", "descending": True, "limit": MOST_SETTLED}
    audit = LedgerAudit(ledger_database(conn_id), task.ledger_table)
    for row in audit.rows(campaign, claimed_by=task.identity, is_settled=True, **newest):
        if settlement := row.settlement:
            number = "" if row.is_forgotten else mask_number(row.recipient)
            recipient = recipient_key(campaign, row.recipient)
            yield ShownSettled(recipient, row.row_key or "without a key", number, settlement)


def _in_store(session: Session, task: SendingTask) -> Iterator[ShownSettled]:
    settled = standing_in_store(ServerSideStore(session, task), task.progress.campaign).settled
    newest = sorted(settled.items(), key=lambda item: item[1].settlement.at, reverse=True)
    for recipient, (settlement, person) in newest:
        name = (person and person.key) or f"hash {recipient[:8]}…"
        yield ShownSettled(recipient, name, (person and person.number) or "", settlement)
