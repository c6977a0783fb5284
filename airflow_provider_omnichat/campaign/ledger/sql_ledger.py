"""
The ledger in a table of the user's own database.

It holds across runs and DAGs, on every Airflow, and is the audit trail. One row for each campaign and recipient; the
primary key keeps two tasks from claiming the same one. Each claim carries the id of the call that made it, and a
recipient is won if its row has that id in the end. So a block can be written again when it is not known whether its
commit arrived: what did arrive has the id already.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from secrets import token_hex
from typing import Any
from uuid import uuid4

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.campaign.ledger.admin import LedgerAdmin, forgotten_name
from airflow_provider_omnichat.campaign.ledger.interface import (
    CERTAINLY_NOT_SENT,
    Claim,
    Entry,
    LedgerError,
    Settlement,
)
from airflow_provider_omnichat.campaign.ledger.retake import NEVER_ENDED, NEVER_ENDED_AGAIN
from airflow_provider_omnichat.campaign.ledger.settle import OPEN_CLAIM_MINUTES
from airflow_provider_omnichat.campaign.ledger.sql_entries import answer_values, entry_of, in_statements, read_rows
from airflow_provider_omnichat.campaign.ledger.sql_table import (
    CLAIM_ONLY,
    DEFAULT_TABLE,
    FORGOTTEN,
    ID_KEY,
    NO_CAMPAIGN,
    RECORD_COLUMNS,
    SqlTable,
)
from airflow_provider_omnichat.campaign.sql.drivers import row_values
from airflow_provider_omnichat.campaign.sql.session import SqlDatabase, SqlSession
from airflow_provider_omnichat.campaign.sql.values import flat, stamp, storable, stored_name

_CLAIM_COLUMNS = ("campaign", "recipient", "row_key", "message_id", "attempts", "claimed_by", "claim_id", "claimed_at")
_KEY_COLUMNS = tuple(name for name in _CLAIM_COLUMNS if name not in {"row_key", "message_id"})
# The outcome last: MySQL assigns from left to right, and the condition looks at the old one.
_OUTCOME_COLUMNS = (*(name for name in RECORD_COLUMNS if name not in CLAIM_ONLY | {"outcome"}), "outcome")
_REASON = ("reason_code", "error", "since")
_IN_DOUBT = "outcome IS NULL OR outcome = 'unknown'"
_FORGOTTEN = Reason(ReasonCode.FORGOTTEN, "was erased from the ledger, and gets no second invite of this campaign")


@dataclass(frozen=True, slots=True)
class _Held:
    """A claim of this ledger object that has not ended."""

    claim: Claim
    claim_id: str
    at: str


class SqlLedger:
    """
    Claims and outcomes in one table, made if it is missing; see the module. Connects when first used.

    :meth:`claim` also writes what was recorded before it.

    :param owner: the task instance without the try number; its own claims are known by it. Any text that stays the
        same over tries and differs for other runs, tasks and map indexes.
    :param has_ended: whether another owner has ended and begins no other try by itself; None if that is not known.
    """

    group_factor: float = 1.5

    def __init__(
        self,
        database: SqlDatabase,
        campaign: str,
        owner: str,
        table: str = DEFAULT_TABLE,
        has_ended: Callable[[str], bool | None] = lambda _: None,
    ) -> None:
        self._table = SqlTable(table, database.dialect, database.placeholder)
        self._session = SqlSession(
            database, self._table, LedgerError, "select, insert and update, and to create the table if need be"
        )
        self._admin = LedgerAdmin(database, table)
        self._campaign = stored_name(campaign)
        self._owner = stored_name(owner)
        self._has_ended = has_ended
        self._began = stamp(datetime.now(UTC))
        self._held: dict[str, _Held] = {}
        self._unsure: tuple[list[Claim], str, str] | None = None
        self._ended: dict[str, Entry] = {}
        self._any_forgotten: bool | None = None

    def claim(self, claims: Sequence[Claim], retake: Collection[Outcome | None]) -> Mapping[str, Entry]:
        """
        See :class:`.interface.Ledger`.

        A claim without an outcome is retaken only if it is older than this object: never from another run of this same
        task at this moment.
        """
        if not claims:
            return {}
        # Each transaction locks its rows in the order of the numbers, so that tasks with the same list wait for each
        # other and never in a circle; hence outcomes have a separate one.
        ordered = sorted(claims, key=lambda claim: claim.identity)
        if self._unsure is None or self._unsure[0] != ordered:
            self._unsure = ordered, uuid4().hex, stamp(datetime.now(UTC))
        _, claim_id, now = self._unsure  # a call that is made again is the same claim: the first one may have arrived

        forgotten = self._forgotten(ordered)
        new = [claim for claim in ordered if claim.recipient not in forgotten] if forgotten else ordered

        # SQLite has one writer at a time, who waits for nobody, and most of a transaction's time is its commit.
        is_one_transaction = self._table.dialect == "sqlite"
        if not is_one_transaction:
            self.flush()

        def work(cursor: Any) -> dict[str, tuple[Entry, str]]:
            if is_one_transaction:
                self._write_ended(cursor)
            self._insert(cursor, new, claim_id, now, self._table.if_there())
            known = self._read_all(cursor, new)
            entries = ((claim, *known[claim.recipient]) for claim in new)
            again = [claim for claim, entry, holder in entries if holder != claim_id and entry.outcome in retake]
            if again:
                self._retake(cursor, again, retake, claim_id, now)
                known |= self._read_all(cursor, again)
                # What is sent may have changed.
                named = [each for each in again if each.message_id and known[each.recipient][1] == claim_id]
                self._insert(cursor, named, claim_id, now, self._table.if_there("message_id"))
            return known

        known = self._session.write(work)
        self._forget_ended()
        self._unsure = None
        taken = {recipient: entry for recipient, (entry, holder) in known.items() if holder != claim_id} | forgotten
        self._held |= {claim.recipient: _Held(claim, claim_id, now) for claim in claims if claim.recipient not in taken}
        return taken

    def id_key(self) -> bytes:
        mark, new = self._table.placeholder, token_hex(16)
        insert = f"{self._table.insert(_KEY_COLUMNS, 1)} {self._table.if_there()}"
        select = f"SELECT claim_id FROM {self._table.sql_name} WHERE campaign = {mark} AND recipient = {mark}"  # noqa: S608 - checked names only

        def work(cursor: Any) -> str:
            cursor.execute(insert, (NO_CAMPAIGN, ID_KEY, 0, "", new, stamp(datetime.now(UTC))))
            cursor.execute(select, (NO_CAMPAIGN, ID_KEY))
            return str(row_values(cursor.fetchall()[0])[0])

        return bytes.fromhex(self._session.write(work))

    def repeated(self) -> int:
        mark = self._table.placeholder
        ours = f"{self._table.sql_name} WHERE campaign = {mark} AND claimed_by = {mark}"
        repeated = f"SELECT COUNT(*) FROM {ours} AND first_at IS NOT NULL AND ({_IN_DOUBT})"  # noqa: S608 - as above
        return int(self._session.select(repeated, (self._campaign, self._owner))[0][0])

    def find(self, claims: Sequence[Claim]) -> Mapping[str, Entry]:
        if not claims:
            return {}
        found, has_ended = self._session.read(lambda cursor: self._read(cursor, claims)), cache(self._has_ended)
        entries = {name: each._replace(is_over=self._is_over(each, has_ended)) for name, (each, _) in found.items()}
        return entries | self._forgotten(claims)

    def record(self, entries: Mapping[str, Entry]) -> None:
        if strangers := sum(recipient not in self._held for recipient in entries):
            raise LedgerError(f"{strangers} outcomes are of invites that were not claimed through this ledger")
        self._ended.update(entries)

    def leave_in_doubt(self, claims: Sequence[Claim]) -> None:
        # An earlier doubt keeps its reason. What is assigned first is looked at last: MySQL assigns from left to right.
        mark, unless_known = self._table.placeholder, "CASE WHEN reason_code IS NULL THEN {} ELSE {} END"
        sql = (
            f"UPDATE {self._table.sql_name} SET since = {unless_known.format('since', mark)},"  # noqa: S608 - checked names only
            f" error = {unless_known.format(mark, 'error')}, reason_code = COALESCE(reason_code, {mark}),"
            " ended_at = claimed_at, outcome = 'unknown'"
            f" WHERE campaign = {mark} AND outcome IS NULL"
        )
        why = NEVER_ENDED_AGAIN, str(NEVER_ENDED), NEVER_ENDED.code.value
        # Read before asking who has ended: a try that begins after the answer claims under other ids.
        known, has_ended = self._session.read(lambda cursor: self._read(cursor, claims)), cache(self._has_ended)
        over = {
            claim.identity: known[claim.recipient][1]
            for claim in sorted(claims, key=lambda claim: claim.identity)
            if claim.recipient in known and self._is_over(known[claim.recipient][0], has_ended)
        }

        def work(cursor: Any) -> None:
            for block in in_statements(self._table, list(over)):
                ids = {over[number] for number in block}
                numbers, claim_ids = self._table.marks(len(block)), self._table.marks(len(ids))
                which = f" AND recipient IN ({numbers}) AND claim_id IN ({claim_ids})"
                cursor.execute(sql + which, (*why, self._campaign, *block, *ids))

        if over:
            self._session.write(work)

    def settle(self, claims: Sequence[Claim], settlements: Mapping[str, Settlement]) -> Mapping[str, str]:
        names = {claim.identity: claim.recipient for claim in claims if claim.recipient in settlements}
        of_numbers = {identity: settlements[recipient] for identity, recipient in names.items()}
        return {names[identity]: why for identity, why in self._admin.settle(self._campaign, of_numbers).items()}

    def flush(self) -> None:
        if self._ended:
            self._session.write(self._write_ended)
            self._forget_ended()

    def count_recent(self, numbers: Collection[str], since: datetime) -> Mapping[str, int]:
        """See :class:`.frequency_cap.CountingLedger`; counted is what was claimed or ended at *since* or later."""
        after, mark = stamp(since), self._table.placeholder

        def work(cursor: Any) -> dict[str, int]:
            counts: dict[str, int] = {}
            for block in in_statements(self._table, sorted(set(numbers))):
                cursor.execute(
                    f"SELECT recipient, COUNT(*) FROM {self._table.sql_name}"  # noqa: S608 - as above
                    f" WHERE recipient IN ({self._table.marks(len(block))})"
                    f" AND ((outcome IN ('accepted', 'unknown') AND ended_at >= {mark})"
                    f" OR (outcome IS NULL AND claimed_at >= {mark})) GROUP BY recipient",
                    (*block, after, after),
                )
                counts.update({number: int(count) for number, count in map(row_values, cursor.fetchall())})
            return counts

        return self._session.read(work) if numbers else {}

    def other_campaign(self) -> str | None:
        """Return another campaign in which the same owner may have sent, if there is one; reads the whole table."""
        mark = self._table.placeholder
        found = self._session.select(
            f"SELECT campaign FROM {self._table.sql_name} WHERE claimed_by = {mark} AND campaign <> {mark}"  # noqa: S608 - as above
            " AND (outcome IS NULL OR outcome IN ('accepted', 'unknown')) ORDER BY claimed_at DESC LIMIT 1",
            (self._owner, self._campaign),
        )
        return found[0][0] if found else None

    def close(self) -> None:
        """Close the connection; what was recorded and not flushed is not written. A later call connects anew."""
        self._session.close()
        self._admin.close()

    def _is_over(self, entry: Entry, has_ended: Callable[[str], bool | None]) -> bool:
        """Return whether an open claim is of a try that has ended."""
        if entry.outcome is not None:
            return False
        if entry.same_task:
            return stamp(entry.at) < self._began
        ended = has_ended(entry.owner)
        return datetime.now(UTC) - entry.at >= timedelta(minutes=OPEN_CLAIM_MINUTES) if ended is None else ended

    def _insert(self, cursor: Any, claims: Sequence[Claim], claim_id: str, now: str, if_there: str) -> None:
        whose = self._owner, claim_id, now
        for block in in_statements(self._table, claims):
            rows = [(self._campaign, each.identity, storable(each.key), each.message_id, 0, *whose) for each in block]
            cursor.execute(f"{self._table.insert(_CLAIM_COLUMNS, len(rows))} {if_there}", flat(rows))

    def _retake(
        self, cursor: Any, claims: Sequence[Claim], retake: Collection[Outcome | None], claim_id: str, now: str
    ) -> None:
        ended = {outcome for outcome in retake if outcome is not None}
        by_anybody, own = sorted(ended & CERTAINLY_NOT_SENT), sorted(ended - CERTAINLY_NOT_SENT)
        own_open = None in retake
        mark, marks = self._table.placeholder, self._table.marks
        allowed = [f"outcome IN ({marks(len(by_anybody))})"] if by_anybody else []
        of_own = [f"outcome IN ({marks(len(own))})"] if own else []
        if own_open:
            of_own.append(f"(outcome IS NULL AND claimed_at < {mark})")
        if of_own:
            allowed.append(f"(claimed_by = {mark} AND ({' OR '.join(of_own)}))")
        for_own = [self._owner, *map(str, own), *([self._began] if own_open else [])] if of_own else []
        # What was in doubt keeps its reason: should this try end before it can say how, the doubt is older.
        kept = [f"{name} = CASE WHEN {_IN_DOUBT} THEN {name} END" for name in _REASON]
        first = f"first_at = CASE WHEN {_IN_DOUBT} THEN COALESCE(first_at, claimed_at) END"
        others = (name for name in _OUTCOME_COLUMNS if name not in {"row_key", "attempts", *_REASON})
        emptied = ", ".join([*kept, *(f"{name} = NULL" for name in others)])
        for block in in_statements(self._table, claims):
            numbers = [claim.identity for claim in block]
            cursor.execute(
                f"UPDATE {self._table.sql_name}"  # noqa: S608 - as above
                f" SET {first}, claimed_by = {mark}, claim_id = {mark}, claimed_at = {mark}, attempts = 0, {emptied}"
                f" WHERE campaign = {mark} AND recipient IN ({marks(len(block))}) AND ({' OR '.join(allowed)})",
                (self._owner, claim_id, now, self._campaign, *numbers, *map(str, by_anybody), *for_own),
            )

    def _forget_ended(self) -> None:
        for recipient in self._ended:
            del self._held[recipient]
        self._ended = {}

    def _write_ended(self, cursor: Any) -> None:
        # A claim that was retaken since is not touched, unless to say that it was accepted, and nothing replaces an
        # accepted. A row that somebody deleted is written again: the invite may have gone out.
        is_mysql = self._table.dialect == "mysql"
        old, new = ("", "VALUES({})") if is_mysql else ("ledger.", "excluded.{}")
        condition = (
            f"({new.format('outcome')} = 'accepted' OR ({old}claim_id = {new.format('claim_id')}"
            f" AND ({old}outcome IS NULL OR {old}outcome <> 'accepted')))"
        )
        if is_mysql:
            updates = ", ".join(f"{name} = IF({condition}, VALUES({name}), {name})" for name in _OUTCOME_COLUMNS)
            update = f"ON DUPLICATE KEY UPDATE {updates}"
        else:
            update = f"{self._table.if_there(*_OUTCOME_COLUMNS)} WHERE {condition}"
        rows = sorted(self._row(self._held[recipient], entry) for recipient, entry in self._ended.items())
        for block in in_statements(self._table, rows):
            insert = self._table.insert(RECORD_COLUMNS, len(block), "" if is_mysql else " AS ledger")
            cursor.execute(f"{insert} {update}", flat(block))

    def _read_all(self, cursor: Any, claims: Sequence[Claim]) -> dict[str, tuple[Entry, str]]:
        known = self._read(cursor, claims)
        if len(known) != len(claims):  # cut short by a lax MySQL, kept out by a trigger: neither claimed nor free
            raise LedgerError(
                f"{len(claims) - len(known)} claims were not found in the ledger table {self._table.name} right after"
                " they were written; nothing more is sent. See that it is as the documentation shows it"
            )
        return known

    def _read(self, cursor: Any, claims: Sequence[Claim]) -> dict[str, tuple[Entry, str]]:
        """Read entry and claim id by recipient."""
        names = {claim.identity: claim.recipient for claim in claims}
        found: dict[str, tuple[Entry, str]] = {}
        for number, claim_id, values in read_rows(cursor, self._table, self._campaign, list(names)):
            if names[number] in found:
                raise LedgerError(
                    f"The ledger table {self._table.name} has a recipient twice in one campaign; nothing more is sent."
                    " It lacks the primary key that the documentation shows"
                )
            found[names[number]] = entry_of(values, self._owner, self._table), claim_id
        return found

    def _row(self, held: _Held, entry: Entry) -> tuple[Any, ...]:
        """Return the values of RECORD_COLUMNS."""
        whose = self._campaign, held.claim.identity, storable(held.claim.key)
        ended_at = None if entry.outcome is None else stamp(entry.at)
        return (*whose, *answer_values(entry), self._owner, held.claim_id, held.at, ended_at)

    def _forgotten(self, claims: Sequence[Claim]) -> dict[str, Entry]:
        """Return those whose number was erased: how they ended is no longer known, and they get no second invite."""
        # In a separate transaction: one that reads first does not see, in MySQL, what others insert during it.
        if self._any_forgotten is None:  # found by the key, whatever the size of the table
            any_of_them = f"SELECT recipient FROM {self._table.sql_name} WHERE recipient >= '{FORGOTTEN}' LIMIT 1"  # noqa: S608 - as above
            self._any_forgotten = bool(self._session.select(any_of_them))
        if not self._any_forgotten:
            return {}
        names = {forgotten_name(self._campaign, claim.identity): claim.recipient for claim in claims}
        found = self._session.read(lambda cursor: list(read_rows(cursor, self._table, self._campaign, list(names))))
        return {names[name]: Entry.now(Outcome.SUPPRESSED, reason=_FORGOTTEN, attempts=0) for name, *_ in found}
