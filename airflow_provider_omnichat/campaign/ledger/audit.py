"""Campaigns in the ledger of a database, for people who look: reads, and writes nothing."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

from airflow_provider_omnichat.api.identity import identity_of
from airflow_provider_omnichat.api.reasons import ReasonCode
from airflow_provider_omnichat.campaign.ledger.admin import forgotten_name
from airflow_provider_omnichat.campaign.ledger.interface import LedgerError, Settlement
from airflow_provider_omnichat.campaign.ledger.sql_table import COLUMNS, DEFAULT_TABLE, FORGOTTEN, NO_CAMPAIGN, SqlTable
from airflow_provider_omnichat.campaign.sql.session import SqlDatabase, select
from airflow_provider_omnichat.campaign.sql.values import contains, moment, stamp, stored_name

CLAIMED = "claimed"
"""Stands for the outcome of a claim that has none yet."""

Order = Literal["claimed_at", "updated", "row_key", "outcome", "reason_code", "recipient"]

# A settlement, or how it ended, may be older than the claim: of what was claimed again.
_ENDED = "COALESCE(ended_at, claimed_at)"
_UPDATED = f"CASE WHEN settled_at > {_ENDED} THEN settled_at ELSE {_ENDED} END"
# Stored as not sent, so that a later try may send it if there is room by then; the results say suppressed.
_OUTCOME = (
    f"CASE WHEN outcome = 'not_sent' AND reason_code = '{ReasonCode.FREQUENCY_CAP}' THEN 'suppressed' ELSE outcome END"
)
_REASON = f"CASE WHEN outcome IS NULL THEN COALESCE(reason_code, '{ReasonCode.CLAIM_NEVER_ENDED}') ELSE reason_code END"
_ORDERS: dict[Order, str] = {
    "claimed_at": "claimed_at",
    "updated": _UPDATED,
    "row_key": "COALESCE(row_key, '')",
    "outcome": f"COALESCE({_OUTCOME}, '')",
    "reason_code": "COALESCE(reason_code, '')",
    "recipient": "recipient",
}
_PAGE_ROWS = 1000
_TASK = re.compile(r"/[^/]+(/\d+)?$")  # of what claimed an invite; the rest is DAG and run
# What was settled counts until the invite is claimed again, or a try that ran after all says otherwise.
_IS_SETTLED = (
    "settled_at >= claimed_at AND (outcome = 'accepted' AND settled_as = 'sent'"
    " OR outcome = 'not_sent' AND settled_as = 'not_sent')"
)


class LedgerRow(NamedTuple):
    """One invite of a campaign; the fields are columns of the table."""

    recipient: str  # the number, or what replaced it if it was erased
    row_key: str | None
    outcome: str  # one of the words of the results, or "claimed"
    reason_code: str | None
    error: str | None
    since: str | None  # what happened since to an invite in doubt
    message_id: str | None
    status_name: str | None
    delivery: str | None  # its final status after it was accepted, if a sensor asked
    claimed_by: str
    claimed_at: datetime
    earliest: datetime  # when it may have been sent last: what was claimed again may not have been sent again
    latest: datetime
    updated: datetime  # when it was last written to, in UTC
    settled_as: str | None  # "sent" or "not_sent" if somebody settled a doubt
    settled_by: str | None
    settled_at: datetime | None
    settled_why: str | None

    @property
    def settlement(self) -> Settlement | None:
        """Who settled it, if it was in doubt; None once a task has claimed it again."""
        word = {"accepted": "sent", "not_sent": "not_sent"}.get(self.outcome)
        if word != self.settled_as or self.settled_at is None or self.settled_at < self.claimed_at:
            return None
        return Settlement(word == "sent", self.settled_by or "", self.settled_why or "", self.settled_at)

    @property
    def is_forgotten(self) -> bool:
        return self.recipient.startswith(FORGOTTEN)


_COMPUTED = {
    "outcome": _OUTCOME,
    "earliest": "CASE WHEN ended_at < claimed_at THEN COALESCE(first_at, claimed_at) ELSE claimed_at END",
    "latest": _ENDED,
    "updated": _UPDATED,
}
_SELECTED = ", ".join(f"{_COMPUTED[name]} AS {name}" if name in _COMPUTED else name for name in LedgerRow._fields)


class Standing(NamedTuple):
    """How the invites that one task instance claimed stand now."""

    counts: Counter[str]  # by outcome, or "claimed"
    doubts: Counter[str]  # those in doubt by reason code; empty for a claim without one
    settled: Counter[str]  # settled doubts by "sent" and "not_sent", until a task claims them again

    @classmethod
    def empty(cls) -> Standing:
        return cls(Counter(), Counter(), Counter())


class CampaignSummary(NamedTuple):
    """A campaign as a whole."""

    campaign: str
    runs: int  # DAG runs with a task that claimed some of its invites last
    invites: int
    in_doubt: int
    last: datetime  # when something happened in it last, in UTC


class LedgerAudit:
    """Reads one table, which is not made if it is missing; a method that cannot read it raises LedgerError."""

    def __init__(self, database: SqlDatabase, table: str = DEFAULT_TABLE) -> None:
        self._table = SqlTable(table, database.dialect, database.placeholder)
        self._database = database

    def reasons(self, campaign: str) -> dict[tuple[str, str | None], int]:
        rows = self._read(
            f"SELECT {_OUTCOME}, reason_code, COUNT(*) FROM {self._table.sql_name}"  # noqa: S608 - checked names only
            f" WHERE campaign = {self._table.placeholder} GROUP BY outcome, reason_code",
            [stored_name(campaign)],
        )
        return {(outcome or CLAIMED, code): int(count) for outcome, code, count in rows}

    def standings(self, campaigns: Collection[str]) -> dict[str, dict[str, Standing]]:
        """Count the invites of campaigns by the task instance that claimed them, both as the table names them."""
        found: dict[str, dict[str, Standing]] = defaultdict(lambda: defaultdict(Standing.empty))
        for campaign, owner, outcome, code, settled_as, count in self._read(
            "SELECT campaign, claimed_by, outcome, reason_code, settled, COUNT(*)"  # noqa: S608 - checked names only
            f" FROM (SELECT campaign, claimed_by, {_OUTCOME} AS outcome, reason_code,"
            f" CASE WHEN {_IS_SETTLED} THEN settled_as END AS settled FROM {self._table.sql_name}"
            f" WHERE campaign IN ({self._table.marks(len(campaigns))})) AS stands"
            " GROUP BY campaign, claimed_by, outcome, reason_code, settled",
            sorted({stored_name(campaign) for campaign in campaigns}),
        ):
            standing = found[campaign][owner]
            standing.counts[outcome or CLAIMED] += int(count)
            if outcome in (None, "unknown"):
                standing.doubts[code or ""] += int(count)
            if settled_as:
                standing.settled[settled_as] += int(count)
        return found

    def rows(
        self,
        campaign: str,
        *,
        outcome: str | Sequence[str] | None = None,
        claimed_by: str | None = None,
        reason: str | None = None,
        status: str | None = None,
        search: str | None = None,
        is_settled: bool = False,
        order: Order = "claimed_at",
        descending: bool = False,
        limit: int = 50,
        offset: int = 0,
        after: LedgerRow | None = None,
    ) -> list[LedgerRow]:
        """
        Read a page of the invites of a campaign; rows that are equal in *order* come by recipient.

        :param outcome: ``claimed`` for a claim without an outcome.
        :param reason: a reason code; ``claim_never_ended`` for an open claim without one.
        :param status: the name of the vendor's status.
        :param search: what the row key contains, or the number.
        :param is_settled: only doubts that somebody settled, and no task has claimed again.
        :param offset: rows to leave out before. The database reads them all the same: *after*, the last row of the page
            before, is as fast on the last page as on the first.
        """
        mark, column = self._table.placeholder, _ORDERS[order]
        conditions, parameters = [f"campaign = {mark}"], [stored_name(campaign)]
        outcomes = [outcome] if isinstance(outcome, str) else list(outcome or ())
        if outcomes:
            ended = [each for each in outcomes if each != CLAIMED]
            which = [f"{_OUTCOME} IN ({self._table.marks(len(ended))})"] if ended else []
            if CLAIMED in outcomes:
                which.append("outcome IS NULL")
            conditions.append(f"({' OR '.join(which)})")
            parameters += ended
        owner = None if claimed_by is None else stored_name(claimed_by)
        for name, value in {"claimed_by": owner, _REASON: reason, "status_name": status}.items():
            if value is not None:
                conditions.append(f"{name} = {mark}")
                parameters.append(value)
        if is_settled:
            conditions.append(f"({_IS_SETTLED})")
        if search:
            condition, pattern = contains("row_key", search, mark)
            conditions.append(f"({condition} OR recipient = {mark})")
            parameters += [pattern, "".join(filter(str.isdigit, search))]
        if after is not None:
            conditions.append(f"({column}, recipient) {'<' if descending else '>'} ({mark}, {mark})")
            parameters += [_sorted_by(after, order), after.recipient]
        way = " DESC" if descending else ""
        return self._rows(
            f"{' AND '.join(conditions)} ORDER BY {column}{way}, recipient{way} LIMIT {mark} OFFSET {mark}",
            [*parameters, limit, offset],
        )

    def find(self, campaign: str, row_key: str) -> list[LedgerRow]:
        """Read the invites of a campaign with this row key: one, unless the list had it twice."""
        mark = self._table.placeholder
        rows = self._rows(f"campaign = {mark} AND row_key = {mark}", [stored_name(campaign), row_key])
        return [row for row in rows if row.row_key == row_key]  # MySQL takes "a" and "a " for one

    def doubts(self, campaign: str, claimed_by: str | None = None) -> Iterator[LedgerRow]:
        """Read the invites of a campaign that are in doubt, the oldest first; in pages, however many."""
        yield from self._all_rows(campaign, outcome=("unknown", CLAIMED), claimed_by=claimed_by)

    def settled(self, campaign: str, claimed_by: str | None = None) -> Iterator[LedgerRow]:
        """Read the doubts of a campaign that somebody settled, and no task has claimed again; in pages as well."""
        yield from self._all_rows(campaign, is_settled=True, claimed_by=claimed_by)

    def _all_rows(self, campaign: str, **which: Any) -> Iterator[LedgerRow]:
        last = None
        while page := self.rows(campaign, **which, limit=_PAGE_ROWS, after=last):
            yield from page
            last = page[-1]

    def about(self, number: str) -> list[dict[str, Any]]:
        """Read all that is held of a number (digits only), and what is left where it was erased, by column."""
        identity, table = identity_of(number), self._table.sql_name
        about = f"SELECT {', '.join(COLUMNS)} FROM {table} WHERE recipient = {self._table.placeholder}"  # noqa: S608 - as above
        rows = self._read(about, [identity])
        forgotten = f"SELECT campaign, recipient FROM {table} WHERE recipient >= '{FORGOTTEN}'"  # noqa: S608 - as above
        for campaign, name in self._read(forgotten):
            if name == forgotten_name(campaign, identity):
                rows += self._read(about, [name])
        return [dict(zip(COLUMNS, row, strict=True)) for row in rows]

    def campaigns(self, before: datetime | None = None) -> list[CampaignSummary]:
        """Read all campaigns, or those in which the last thing happened before this; the oldest first."""
        by_campaign: dict[str, list[tuple[Any, ...]]] = {}
        for name, *counted in self._read(
            "SELECT campaign, claimed_by, COUNT(*),"  # noqa: S608 - as above
            f" SUM(CASE WHEN outcome IS NULL OR outcome = 'unknown' THEN 1 ELSE 0 END), MAX({_UPDATED})"
            f" FROM {self._table.sql_name} WHERE campaign <> '{NO_CAMPAIGN}' GROUP BY campaign, claimed_by"
        ):
            by_campaign.setdefault(name, []).append(tuple(counted))
        found = []
        for name, counts in by_campaign.items():
            owners, invites, doubts, last = zip(*counts, strict=True)
            runs = {_TASK.sub("", owner) for owner in owners}
            found.append(CampaignSummary(name, len(runs), sum(invites), sum(map(int, doubts)), max(map(moment, last))))
        kept = found if before is None else [each for each in found if each.last < before]
        return sorted(kept, key=lambda each: (each.last, each.campaign))

    def _rows(self, condition: str, parameters: Sequence[Any]) -> list[LedgerRow]:
        rows = self._read(f"SELECT {_SELECTED} FROM {self._table.sql_name} WHERE {condition}", parameters)  # noqa: S608 - as above
        return [
            row._replace(
                outcome=row.outcome or CLAIMED,
                claimed_at=moment(row.claimed_at),
                earliest=moment(row.earliest),
                latest=moment(row.latest),
                updated=moment(row.updated),
                settled_at=moment(row.settled_at) if row.settled_at else None,
            )
            for row in map(LedgerRow._make, rows)
        ]

    def _read(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return select(self._database, self._table, LedgerError, sql, parameters)


def _sorted_by(row: LedgerRow, order: Order) -> str:
    """Return the value of a row by which its page was sorted."""
    if order == "outcome":
        return "" if row.outcome == CLAIMED else row.outcome
    value = getattr(row, order)
    return stamp(value) if isinstance(value, datetime) else value or ""
