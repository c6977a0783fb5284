"""
The ledger in a table of the user's own database.

It holds across runs and DAGs, on every Airflow, and is the audit trail. One row for each campaign and recipient; the
primary key keeps two tasks from claiming the same one. Each claim carries the id of the call that made it, and a
recipient is won if its row has that id in the end. So a block can be written again when nobody knows whether its commit
arrived: what did arrive has the id already.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import uuid4

from airflow_provider_omnichat.api.models import InviteAnswer
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.campaign.ledger.interface import CERTAINLY_NOT_SENT, Claim, Entry, LedgerError
from airflow_provider_omnichat.campaign.ledger.retake import NEVER_ENDED, NEVER_ENDED_AGAIN
from airflow_provider_omnichat.campaign.ledger.sql_statements import DEFAULT_TABLE, SqlTable
from airflow_provider_omnichat.campaign.sql.cursor import row_values
from airflow_provider_omnichat.campaign.sql.session import SqlDatabase, SqlSession, Words
from airflow_provider_omnichat.campaign.sql.values import fitted, flat, integer, stamp, storable

T = TypeVar("T")

_TEXT_LENGTH = 255
_WORDS = Words(LedgerError, "ledger", "select, insert and update")


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
        self._session = SqlSession(database.connect, self._table, _WORDS, database.location)
        self._campaign = fitted(campaign)
        self._owner = fitted(owner)
        self._began = stamp(datetime.now(UTC))
        self._held: dict[str, _Held] = {}
        self._unsure: tuple[list[Claim], str, str] | None = None
        self._ended: dict[str, Entry] = {}

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

        def work(cursor: Any) -> dict[str, tuple[Entry, str]]:
            self._insert(cursor, ordered, claim_id, now)
            known = self._read_all(cursor, ordered)
            again = [
                claim
                for claim in ordered
                if known[claim.recipient][1] != claim_id and known[claim.recipient][0].outcome in retake
            ]
            if again:
                self._retake(cursor, again, retake, claim_id, now)
                known |= self._read_all(cursor, again)
            return known

        known = self._session.write(work)
        self._unsure = None
        taken = {recipient: entry for recipient, (entry, holder) in known.items() if holder != claim_id}
        self._held |= {claim.recipient: _Held(claim, claim_id, now) for claim in claims if claim.recipient not in taken}
        return taken

    def find(self, claims: Sequence[Claim]) -> Mapping[str, Entry]:
        """See :class:`~airflow_provider_omnichat.campaign.ledger.interface.Ledger`."""
        if not claims:
            return {}
        found = self._session.read(lambda cursor: self._read(cursor, claims))
        return {recipient: entry for recipient, (entry, _) in found.items()}

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

    def close(self) -> None:
        """Close the connection; what was recorded and not flushed is not written. A later call connects anew."""
        self._session.close()

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
            for number, claim_id, *rest in map(row_values, cursor.fetchall()):
                if names[number] in found:
                    raise LedgerError(
                        f"The ledger table {self._table.name} has a recipient twice in one campaign; nothing more is"
                        " sent. It lacks the primary key that the documentation shows"
                    )
                found[names[number]] = self._entry(*rest), claim_id
        return found

    def _entry(
        self,
        outcome: str | None,
        attempts: int,
        code: str | None,
        error: str | None,
        since: str | None,
        answer: str | None,
        claimed_by: str,
        claimed_at: object,
        ended_at: object,
    ) -> Entry:
        try:
            return Entry(
                outcome=None if outcome is None else Outcome(outcome),
                at=_moment(claimed_at if ended_at is None else ended_at),
                answer=None if answer is None else InviteAnswer.from_json(json.loads(answer)),
                reason=None if code is None else Reason(ReasonCode(code), error or "", since=since or ""),
                attempts=int(attempts),
                same_task=claimed_by == self._owner,
            )
        except (TypeError, ValueError):
            raise LedgerError(
                f"The ledger table {self._table.name} has a row of this campaign that cannot be read; nothing more is"
                " sent"
            ) from None

    def _row(self, held: _Held, entry: Entry) -> tuple[Any, ...]:
        """Give the values of a whole row, in the order of the table's columns."""
        answer = entry.answer
        status = answer.status if answer else None
        reason = entry.reason
        return (
            self._campaign,
            held.claim.identity,
            storable(held.claim.key),
            None if entry.outcome is None else str(entry.outcome),
            storable(answer.message_id, _TEXT_LENGTH) if answer else None,
            integer(status.group_id) if status else None,
            integer(status.id) if status else None,
            storable(status.name, _TEXT_LENGTH) if status else None,
            integer(answer.message_count) if answer else None,
            entry.attempts,
            reason.code.value if reason else None,
            storable(reason.first) if reason else None,
            storable(reason.since) or None if reason else None,
            _json_of(answer) if answer else None,
            self._owner,
            held.claim_id,
            held.at,
            None if entry.outcome is None else stamp(entry.at),
        )

    def _parts(self, items: Sequence[T]) -> Iterator[Sequence[T]]:
        size = self._table.rows_a_statement
        return (items[start : start + size] for start in range(0, len(items), size))


def _json_of(answer: InviteAnswer) -> str:
    """The whole answer without the number, which has its own column."""
    return json.dumps({name: value for name, value in answer.to_json().items() if name != "to"}, separators=(",", ":"))


def _moment(value: object) -> datetime:
    """Read a time: a driver gives a datetime or a text."""
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return moment.replace(tzinfo=UTC)
