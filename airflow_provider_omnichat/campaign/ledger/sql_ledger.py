"""
The ledger in a table of the user's own database.

It holds across runs and DAGs, on every Airflow, and is the audit trail. One row for each campaign and recipient; the
primary key keeps two tasks from claiming the same one. Each claim carries the id of the call that made it, and a
recipient is won if its row has that id in the end. So a block can be written again when nobody knows whether its commit
arrived: what did arrive has the id already.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import uuid4

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.campaign.ledger.desk import LedgerDesk, forgotten_name
from airflow_provider_omnichat.campaign.ledger.interface import (
    CERTAINLY_NOT_SENT,
    Claim,
    Entry,
    LedgerError,
    Settlement,
)
from airflow_provider_omnichat.campaign.ledger.retake import NEVER_ENDED, NEVER_ENDED_AGAIN
from airflow_provider_omnichat.campaign.ledger.sql_entries import answer_values, entry_of, rows_of
from airflow_provider_omnichat.campaign.ledger.sql_statements import DEFAULT_TABLE, SqlTable
from airflow_provider_omnichat.campaign.sql.cursor import row_values
from airflow_provider_omnichat.campaign.sql.session import SqlDatabase, SqlSession, Words
from airflow_provider_omnichat.campaign.sql.values import fitted, flat, stamp, storable

T = TypeVar("T")

_WORDS = Words(LedgerError, "select, insert and update, and to create the table if need be")
_FORGOTTEN = Reason(ReasonCode.FORGOTTEN, "was erased from the ledger, and gets no second invite of this campaign")


@dataclass(frozen=True, slots=True)
class _Held:
    """A claim of this ledger object that has not ended."""

    claim: Claim
    claim_id: str
    at: str


class SqlLedger:
    """
    Claims and outcomes in one table; see the module.

    Each :meth:`claim` is one transaction and each :meth:`flush` another. Give them some hundred to some thousand
    invites: a commit costs the same for one as for all of them. Connects when first used.

    :param database: where the table is or shall be.
    :param campaign: the name under which one number is invited at most once.
    :param owner: the task instance without the try number; its own claims are known by it. Any text that stays the
        same over tries and differs for other runs, tasks and map indexes.
    :param table: ``table`` or ``schema.table``; made if it is missing.
    :raises ValueError: when the table's name is not one.
    """

    def __init__(self, database: SqlDatabase, campaign: str, owner: str, table: str = DEFAULT_TABLE) -> None:
        self._table = SqlTable(table, database.dialect, database.placeholder)
        self._session = SqlSession(database, self._table, _WORDS)
        self._desk = LedgerDesk(database, table)
        self._campaign = fitted(campaign)
        self._owner = fitted(owner)
        self._began = stamp(datetime.now(UTC))
        self._held: dict[str, _Held] = {}
        self._unsure: tuple[list[Claim], str, str] | None = None
        self._ended: dict[str, Entry] = {}
        self._any_forgotten: bool | None = None

    def claim(self, claims: Sequence[Claim], retake: Collection[Outcome | None]) -> Mapping[str, Entry]:
        """
        See :class:`~airflow_provider_omnichat.campaign.ledger.interface.Ledger`.

        A claim that nobody ended is retaken only if it is older than this object: never from a twin of this task that
        runs at the same time.
        """
        if not claims:
            return {}
        # Each transaction locks its rows in the order of the numbers, so that tasks with the same list wait for each
        # other and never in a circle; hence outcomes have one of their own.
        ordered = sorted(claims, key=lambda claim: claim.identity)
        if self._unsure is None or self._unsure[0] != ordered:
            self._unsure = ordered, uuid4().hex, stamp(datetime.now(UTC))
        _, claim_id, now = self._unsure  # a call that is made again is the same claim: the first one may have arrived

        forgotten = self._forgotten(ordered)
        new = [claim for claim in ordered if claim.recipient not in forgotten] if forgotten else ordered

        def work(cursor: Any) -> dict[str, tuple[Entry, str]]:
            self._insert(cursor, new, claim_id, now)
            known = self._read_all(cursor, new)
            again = [
                claim
                for claim in new
                if known[claim.recipient][1] != claim_id and known[claim.recipient][0].outcome in retake
            ]
            if again:
                self._retake(cursor, again, retake, claim_id, now)
                known |= self._read_all(cursor, again)
            return known

        known = self._session.write(work)
        self._unsure = None
        taken = {recipient: entry for recipient, (entry, holder) in known.items() if holder != claim_id} | forgotten
        self._held |= {claim.recipient: _Held(claim, claim_id, now) for claim in claims if claim.recipient not in taken}
        return taken

    def find(self, claims: Sequence[Claim]) -> Mapping[str, Entry]:
        """See :class:`~airflow_provider_omnichat.campaign.ledger.interface.Ledger`."""
        if not claims:
            return {}
        found = self._session.read(lambda cursor: self._read(cursor, claims))
        return {recipient: entry for recipient, (entry, _) in found.items()} | self._forgotten(claims)

    def record(self, entries: Mapping[str, Entry]) -> None:
        """See :class:`~airflow_provider_omnichat.campaign.ledger.interface.Ledger`."""
        if strangers := sum(recipient not in self._held for recipient in entries):
            raise LedgerError(f"{strangers} outcomes are of invites that were not claimed through this ledger")
        self._ended.update(entries)

    def leave_in_doubt(self, claims: Sequence[Claim]) -> None:
        """See :class:`~airflow_provider_omnichat.campaign.ledger.interface.Ledger`."""

        def work(cursor: Any) -> None:
            for part in self._parts(sorted(claim.identity for claim in claims)):
                why = NEVER_ENDED_AGAIN, str(NEVER_ENDED), NEVER_ENDED.code.value
                cursor.execute(
                    self._table.leave_in_doubt(len(part)), (*why, self._campaign, self._owner, self._began, *part)
                )

        self._session.write(work)

    def settle(self, claims: Sequence[Claim], settlements: Mapping[str, Settlement]) -> Mapping[str, str]:
        """See :class:`~airflow_provider_omnichat.campaign.ledger.interface.Ledger`."""
        names = {claim.identity: claim.recipient for claim in claims if claim.recipient in settlements}
        of_numbers = {identity: settlements[recipient] for identity, recipient in names.items()}
        return {names[identity]: why for identity, why in self._desk.settle(self._campaign, of_numbers).items()}

    def flush(self) -> None:
        """See :class:`~airflow_provider_omnichat.campaign.ledger.interface.Ledger`."""
        if self._ended:
            self._session.write(self._write_ended)
            for recipient in self._ended:
                del self._held[recipient]
            self._ended = {}

    def count_recent(self, numbers: Collection[str], since: datetime) -> Mapping[str, int]:
        """
        Count the invites that people got or may have got, over all campaigns.

        :param numbers: in international format, digits only.
        :param since: a time with a zone; counted is what was claimed or ended then or later.
        :return: by number; those without any are left out.
        :raises LedgerError: the table cannot be read.
        """
        after = stamp(since)

        def work(cursor: Any) -> dict[str, int]:
            counts: dict[str, int] = {}
            for part in self._parts(sorted(set(numbers))):
                cursor.execute(self._table.count_recent(len(part)), (*part, after, after))
                counts.update({number: int(count) for number, count in map(row_values, cursor.fetchall())})
            return counts

        return self._session.read(work) if numbers else {}

    def other_campaign(self) -> str | None:
        """Return another campaign in which the same owner may have sent, if there is one; reads the whole table."""

        def work(cursor: Any) -> list[str]:
            cursor.execute(self._table.other_campaign(), (self._owner, self._campaign))
            return [row_values(row)[0] for row in cursor.fetchall()]

        return next(iter(self._session.read(work)), None)

    def close(self) -> None:
        """Close the connection; what was recorded and not flushed is not written. A later call connects anew."""
        self._session.close()
        self._desk.close()

    def _insert(self, cursor: Any, claims: Sequence[Claim], claim_id: str, now: str) -> None:
        for part in self._parts(claims):
            rows = [
                (self._campaign, claim.identity, storable(claim.key), 0, self._owner, claim_id, now) for claim in part
            ]
            cursor.execute(self._table.claim(len(part)), flat(rows))

    def _retake(
        self, cursor: Any, claims: Sequence[Claim], retake: Collection[Outcome | None], claim_id: str, now: str
    ) -> None:
        ended = {outcome for outcome in retake if outcome is not None}
        retakable_by_all, own = sorted(ended & CERTAINLY_NOT_SENT), sorted(ended - CERTAINLY_NOT_SENT)
        own_open = None in retake
        of_own = [self._owner, *map(str, own)] if own or own_open else []
        if own_open:
            of_own.append(self._began)
        for part in self._parts(claims):
            numbers = [claim.identity for claim in part]
            cursor.execute(
                self._table.retake(len(part), len(retakable_by_all), len(own), own_open),
                (self._owner, claim_id, now, self._campaign, *numbers, *map(str, retakable_by_all), *of_own),
            )

    def _write_ended(self, cursor: Any) -> None:
        rows = sorted(self._row(self._held[recipient], entry) for recipient, entry in self._ended.items())
        for part in self._parts(rows):
            cursor.execute(self._table.record(len(part)), flat(part))

    def _read_all(self, cursor: Any, claims: Sequence[Claim]) -> dict[str, tuple[Entry, str]]:
        known = self._read(cursor, claims)
        if len(known) != len(claims):  # cut short by a lax MySQL, kept out by a trigger: neither claimed nor free
            raise LedgerError(
                f"{len(claims) - len(known)} claims were not found in the ledger table {self._table.name} right after"
                " they were written; nothing more is sent. See that it is as the documentation shows it"
            )
        return known

    def _read(self, cursor: Any, claims: Sequence[Claim]) -> dict[str, tuple[Entry, str]]:
        """Give entry and claim id by recipient."""
        names = {claim.identity: claim.recipient for claim in claims}
        found: dict[str, tuple[Entry, str]] = {}
        for part in self._parts(claims):
            cursor.execute(self._table.read(len(part)), (self._campaign, *(claim.identity for claim in part)))
            for number, claim_id, *rest in rows_of(self._campaign, cursor.fetchall(), self._table.name):
                if names[number] in found:
                    raise LedgerError(
                        f"The ledger table {self._table.name} has a recipient twice in one campaign; nothing more is"
                        " sent. It lacks the primary key that the documentation shows"
                    )
                found[names[number]] = entry_of(tuple(rest), self._owner, self._table.name), claim_id
        return found

    def _row(self, held: _Held, entry: Entry) -> tuple[Any, ...]:
        """Give the values of a whole row, in the order of the table's columns."""
        return (
            self._campaign,
            held.claim.identity,
            storable(held.claim.key),
            *answer_values(entry),
            self._owner,
            held.claim_id,
            held.at,
            None if entry.outcome is None else stamp(entry.at),
        )

    def _forgotten(self, claims: Sequence[Claim]) -> dict[str, Entry]:
        """
        Give those whose number was erased: nobody knows any more how it ended, and nobody gets it twice.

        In a transaction of its own: one that reads first does not see, in MySQL, what others insert meanwhile.
        """
        if self._any_forgotten is None:
            self._any_forgotten = self._session.read(self._reads_any_forgotten)
        if not self._any_forgotten:
            return {}
        names = {forgotten_name(self._campaign, claim.identity): claim.recipient for claim in claims}
        found = self._session.read(lambda cursor: self._read_names(cursor, list(names)))
        return {names[name]: Entry.now(Outcome.SUPPRESSED, reason=_FORGOTTEN, attempts=0) for name in found}

    def _reads_any_forgotten(self, cursor: Any) -> bool:
        cursor.execute(self._table.any_forgotten())
        return bool(cursor.fetchall())

    def _read_names(self, cursor: Any, names: Sequence[str]) -> list[str]:
        found: list[str] = []
        for part in self._parts(names):
            cursor.execute(self._table.read(len(part)), (self._campaign, *part))
            found += [row[0] for row in rows_of(self._campaign, cursor.fetchall(), self._table.name)]
        return found

    def _parts(self, items: Sequence[T]) -> Iterator[Sequence[T]]:
        size = self._table.rows_a_statement
        return (items[start : start + size] for start in range(0, len(items), size))
