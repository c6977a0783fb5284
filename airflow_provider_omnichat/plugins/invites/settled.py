"""Doubts that were settled: who settled them and why, and rows that say so, whatever their place has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from sqlalchemy.orm import Session

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.campaign.ledger.audit import LedgerAudit
from airflow_provider_omnichat.campaign.ledger.interface import Settlement
from airflow_provider_omnichat.campaign.ledger.settle import described
from airflow_provider_omnichat.campaign.ledger.task_state_doubts import HASH_DIGITS
from airflow_provider_omnichat.campaign.model.pages import Page, PageError, PageQuery, ShownRow
from airflow_provider_omnichat.campaign.model.place import Place, UnwrittenPlace
from airflow_provider_omnichat.campaign.phone.identity import recipient_key
from airflow_provider_omnichat.hooks.databases import ledger_database
from airflow_provider_omnichat.plugins.invites.sending_tasks import SendingTask
from airflow_provider_omnichat.tasks.places import has_state_store

MOST_SETTLED = 1000
_MOST_LISTED = 100
_OUTCOMES = {True: "accepted", False: "not_sent"}


class ShownSettled(NamedTuple):
    """
    An invite that was settled.

    :param recipient: a hash, see :class:`.ShownDoubt`.
    :param number: the whole one; None if it is not kept.
    """

    recipient: str
    name: str
    number: str | None
    settlement: Settlement


class SettledPlace(UnwrittenPlace):
    """
    A place whose rows still say *in doubt* for invites that were settled since; here they do not.

    :param settled: by the first digits of the recipient key.
    """

    kind = "settled"

    def __init__(self, place: Place, campaign: str, settled: Mapping[str, Settlement]) -> None:
        self._place = place
        self._campaign = campaign
        self._settled = settled
        self.lists = place.lists

    @property
    def location(self) -> str | None:
        """Where the rows are."""
        return self._place.location

    @property
    def sorts(self) -> bool:
        """See :class:`.Place`."""
        return self._place.sorts

    def page(self, query: PageQuery) -> Page:
        """See :class:`.Place`; rows that were settled come first among those of their new outcome."""
        page = self._place.page(query)
        rows = [self._row(row) for row in page.rows]
        if query.outcome == "unknown":
            rows = [row for row in rows if row.outcome == "unknown"]
        elif query.outcome and not query.after:
            rows = [*(row for row in self.settled_rows(query) if row.outcome == query.outcome), *rows]
        return page._replace(rows=rows)

    def settled_rows(self, query: PageQuery = PageQuery()) -> list[ShownRow]:  # noqa: B008 - it is immutable
        """Read the rows that were settled, as they are now."""
        doubtful = self._place.page(query._replace(outcome="unknown", after="", size=MOST_SETTLED)).rows
        return [changed for row in doubtful if (changed := self._row(row)) is not row]

    def settlement_of(self, row: ShownRow) -> tuple[str, Settlement] | None:
        """Return the name of a row's recipient, and what was settled of it."""
        digits = recipient_key(self._campaign, row.number)[:HASH_DIGITS] if row.number else ""
        found = self._settled.get(digits)
        return (digits, found) if found else None

    def _row(self, row: ShownRow) -> ShownRow:
        found = self.settlement_of(row) if row.outcome == "unknown" else None
        if found is None:
            return row
        reason = f"settled {described(found[1])}. It was in doubt: {row.reason}"
        return row._replace(outcome=_OUTCOMES[found[1].was_sent], reason=reason, try_number=None)


class Settled(NamedTuple):
    """The settled invites of a task, the newest first, and its rows as they are now."""

    rows: Sequence[ShownSettled]
    place: Place


def settled_of(session: Session, task: SendingTask, place: Place) -> Settled:
    """Read what was settled of a task's doubts; nothing if the ledger cannot be read, which the page says already."""
    if not task.settled:
        return Settled([], place)
    try:
        conn_id = task.rendered_text("ledger_conn_id")
        return _in_table(task, conn_id, place) if conn_id else _in_store(session, task, place)
    except (OmnichatError, PageError):
        return Settled([], place)


def _in_table(task: SendingTask, conn_id: str, place: Place) -> Settled:
    campaign = task.progress.campaign
    audit = LedgerAudit(ledger_database(conn_id), task.ledger_table)
    found: list[ShownSettled] = []
    for row in audit.rows(
        campaign,
        claimed_by=task.identity,
        is_settled=True,
        order="updated",
        descending=True,
        limit=MOST_SETTLED,
    ):
        if settlement := row.settlement:
            number = None if row.is_forgotten else row.recipient
            recipient = recipient_key(campaign, row.recipient)
            found.append(ShownSettled(recipient, row.row_key or "without a key", number, settlement))
    settled = {each.recipient[:HASH_DIGITS]: each.settlement for each in found}
    return Settled(found[:_MOST_LISTED], SettledPlace(place, campaign, settled))


def _in_store(session: Session, task: SendingTask, place: Place) -> Settled:
    if not has_state_store():
        return Settled([], place)
    from airflow_provider_omnichat.campaign.ledger.task_state_settled import standing_in_store
    from airflow_provider_omnichat.plugins.invites.state_store import ServerSideStore  # Airflow 3.3

    campaign = task.progress.campaign
    settled = standing_in_store(ServerSideStore(session, task), campaign).settled
    now = SettledPlace(place, campaign, {name[:HASH_DIGITS]: each for name, each in settled.items()})
    named: dict[str, ShownRow] = {}
    with suppress(PageError):  # no rows are kept, or they cannot be read
        named = {recipient_key(campaign, row.number)[:HASH_DIGITS]: row for row in now.settled_rows() if row.number}
    newest = sorted(settled.items(), key=lambda item: item[1].at, reverse=True)
    found = []
    for recipient, settlement in newest[:_MOST_LISTED]:
        known = named.get(recipient[:HASH_DIGITS])
        name = f"hash {recipient[:8]}…" if known is None else known.key or f"row {known.position}"
        found.append(ShownSettled(recipient, name, known and known.number, settlement))
    return Settled(found, now)
