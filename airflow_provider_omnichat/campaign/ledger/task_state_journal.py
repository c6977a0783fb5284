"""
The ledger of a batch in Airflow's task state store: many invites in few, compact values.

A value of the store costs about 12 ms to write, so a key for each invite would be the slowest part of sending. Here up
to 4,000 invites share one value: ten bytes of hash each in base64, and one symbol for the outcome,
together 14.4 bytes an invite. While an invite is claimed or in doubt, its key and its masked number are there as well,
about 55 bytes more; the chunk is written anyway. Whole numbers are never in it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason
from airflow_provider_omnichat.campaign.ledger.interface import IN_DOUBT, Claim, Entry, LedgerError, Settlement
from airflow_provider_omnichat.campaign.ledger.retake import reason_of
from airflow_provider_omnichat.campaign.ledger.settle import settle_each
from airflow_provider_omnichat.campaign.ledger.task_state import CheckedStore, StateStore
from airflow_provider_omnichat.campaign.ledger.task_state_format import (
    HASH_BYTES,
    OUTCOMES,
    SYMBOLS,
    Chunk,
    Position,
    Settled,
    SettledInvites,
    Slice,
    Times,
    chunk_count,
    journal_name,
    read_journal,
)
from airflow_provider_omnichat.campaign.ledger.task_state_person import Person
from airflow_provider_omnichat.campaign.model.message_ids import with_mark


class StateStoreJournal:
    """
    A ledger that only grows: what is claimed again is appended again, and the last one counts.

    :param store: ``context["task_state_store"]``.
    :param campaign: what the invites belong to; another campaign of the same task has its own journal.
    :raises LedgerError: what earlier tries left cannot be read.
    """

    group_factor: float = 4  # each write sends a whole segment, and Airflow takes 12 ms for it

    def __init__(self, store: StateStore, campaign: str) -> None:
        self._store = CheckedStore(store)
        self.id_key, self.note_repeat = self._store.id_key, self._store.note_repeat
        self.last_repeat = self._store.last_repeat
        self._name = journal_name(campaign)
        self._earlier: dict[bytes, str] = {}
        self._reasons: dict[bytes, Reason] = {}
        self._settlements: dict[bytes, Settlement] = {}
        self._people: dict[bytes, Person] = {}
        self._open: dict[bytes, tuple[Chunk, int]] = {}
        self._dirty: dict[str, Chunk] = {}
        self._chunks = self._counted = 0
        self._last: Chunk | None = None
        self._seen_back = False
        self._load()

    def claim(self, claims: Sequence[Claim], retake: Collection[Outcome | None]) -> Mapping[str, Entry]:
        taken = {name: entry for name, entry in self.find(claims).items() if entry.outcome not in retake}
        free = [claim for claim in claims if claim.recipient not in taken]
        try:
            for chunk in self._append(free):
                self._write(chunk)
        except LedgerError:
            self._take_back(_hash_of(claim.recipient) for claim in free)
            raise
        return taken

    def find(self, claims: Sequence[Claim]) -> Mapping[str, Entry]:
        found: dict[str, Entry] = {}
        for claim in claims if self._earlier else ():
            hashed = _hash_of(claim.recipient)
            symbol = self._earlier.get(hashed)
            if symbol is not None:
                person = self._people.get(hashed)
                found[claim.recipient] = Entry(
                    OUTCOMES[symbol],
                    person.end if person else datetime.now(UTC),
                    reason=self._reasons.get(hashed),
                    settlement=self._settlements.get(hashed),
                    claimed_at=person.begin if person else None,
                    message_id=with_mark(claim.message_id, person.mark) if person else None,
                )
        return found

    def record(self, entries: Mapping[str, Entry]) -> None:
        for recipient, entry in entries.items():
            # An invite in doubt that was not sent again after all keeps the time at which it may have been sent.
            times = (entry.claimed_at, entry.at) if entry.claimed_at else None
            self._end(_hash_of(recipient), entry.outcome, entry.reason, times)

    def leave_in_doubt(self, claims: Sequence[Claim]) -> None:
        left = {name: entry for name, entry in self.find(claims).items() if entry.outcome is None}
        if not left:
            return
        # Under the id that it had then, whatever this try would send.
        self._append(
            [each._replace(message_id=left[each.recipient].message_id) for each in claims if each.recipient in left]
        )
        for recipient, entry in left.items():
            hashed, reason = _hash_of(recipient), reason_of(entry)
            self._end(hashed, Outcome.UNKNOWN, reason, (entry.claimed_at or entry.at, entry.at))
            self._earlier[hashed], self._reasons[hashed] = SYMBOLS[Outcome.UNKNOWN], reason
        self.flush()

    def settle(
        self, claims: Sequence[Claim], settlements: Mapping[str, Settlement], *, no_try_runs: bool = False
    ) -> Mapping[str, str]:
        """
        See :class:`.interface.Ledger`.

        Not from outside the task while a try of it runs, which would not see it. What that try records is newer.

        :param no_try_runs: the caller knows that no try of the task runs: open claims are settled, too.
        """
        entries, refused = settle_each(self.find(claims), settlements, no_try_runs=no_try_runs)
        if entries:
            hashes = {_hash_of(name): settlements[name] for name in entries}
            changed = {hashed: Settled(self._earlier[hashed], settlement) for hashed, settlement in hashes.items()}
            self._settled.add(self._end_of_journal(), changed)
            self._apply(changed)
        return refused

    def flush(self) -> None:
        for chunk in list(self._dirty.values()):
            self._write(chunk)
        if self._last is not None and self._last.is_filling:
            self._count(self._chunks + 1)  # the next claims need not wait for it then

    def close(self) -> None:
        """Nothing is open: the task's own connection to Airflow is used."""

    def _append(self, claims: Sequence[Claim]) -> list[Chunk]:
        """Put claims into chunks and return these, one if possible: the senders wait for each."""
        now, people = datetime.now(UTC), list[tuple[bytes, Person, int]]()
        for claim in claims:
            hashed = _hash_of(claim.recipient)
            before = self._people.get(hashed)  # if it was in doubt, it may have been sent when it was claimed first
            person = Person.of(claim, before.begin if before else now, now)
            people.append((hashed, person, person.size))
        all_of = (len(people), sum(size for _, _, size in people))
        last, touched = self._last, dict[str, Chunk]()
        if last is not None and not last.fits(*all_of) and Chunk("").fits(*all_of):
            last = None
        for hashed, person, size in people:
            if last is None or not last.fits(1, size):
                # The count goes ahead of the chunk: a chunk that is counted and missing is noticed, one that is not
                # counted would be read as "nobody was claimed". Only the last one may be missing after a crash.
                for chunk in [each for each in self._dirty.values() if not each.is_written]:
                    self._write(chunk)
                    touched.pop(chunk.key, None)
                self._count(self._chunks + 1)
                last = self._last = Chunk(f"{self._name}:{self._chunks}")
                self._chunks += 1
            touched[last.key] = self._dirty[last.key] = last
            self._open[hashed] = (last, last.add(hashed, person, size))
        return list(touched.values())

    def _count(self, chunks: int) -> None:
        if chunks > self._counted:
            self._put(f"{self._name}:count", chunks)
            self._counted = chunks

    def _write(self, chunk: Chunk) -> None:
        self._put(chunk.key, chunk.to_json())
        chunk.is_written = True
        self._seen_back = True
        del self._dirty[chunk.key]

    def _put(self, key: str, value: object) -> None:
        """Write a value; the first count and the first chunk are read back, see :class:`CheckedStore`."""
        if self._seen_back:
            self._store.set(key, value)
        else:
            self._store.set_and_see(key, value)

    def _take_back(self, hashes: Iterable[bytes]) -> None:
        """Note that nothing of a claim that failed will be sent; it may be in the store all the same."""
        for hashed in hashes:
            if hashed in self._open:
                # What an earlier try may have sent is as much in doubt as it was.
                outcome, before = (
                    OUTCOMES[self._earlier.get(hashed, SYMBOLS[Outcome.NOT_SENT])],
                    self._people.get(hashed),
                )
                self._end(hashed, outcome, self._reasons.get(hashed), before and (before.begin, before.end))

    def _end(
        self,
        hashed: bytes,
        outcome: Outcome | None,
        reason: Reason | None,
        times: Times | None = None,
    ) -> None:
        chunk, at = self._open.pop(hashed)
        chunk.end(at, outcome, reason, times)
        self._dirty[chunk.key] = chunk

    def _load(self) -> None:
        self._counted = chunk_count(self._store, self._name)
        self._settled = SettledInvites(self._store, self._name, is_new=not self._counted)
        for read in read_journal(self._store, self._name, self._counted, self._settled):
            if isinstance(read, Slice):
                self._take_in(read)
                self._chunks = read.chunk + 1
            else:
                self._apply(read)

    def _end_of_journal(self) -> Position:
        return Position(self._chunks, 0) if self._last is None else Position(self._chunks - 1, len(self._last.symbols))

    def _apply(self, invites: Mapping[bytes, Settled]) -> None:
        """Take in what was settled for invites that are still in doubt as they were then."""
        for hashed, (symbol, settlement) in invites.items():
            if self._earlier.get(hashed) == symbol:
                self._settlements[hashed] = settlement
                self._earlier[hashed] = SYMBOLS[Outcome.ACCEPTED if settlement.was_sent else Outcome.NOT_SENT]
                if not settlement.was_sent:
                    self._reasons.pop(hashed, None)
                    self._people.pop(hashed, None)

    def _take_in(self, read: Slice) -> None:
        """Take in invites. A doubt keeps its reason while it is one, also when it is claimed again."""
        found = dict(zip(read.hashes, read.symbols, strict=True))
        explained = read.explained
        reasons = {hashed: explained[symbol] for hashed, symbol in found.items() if symbol in explained}
        found |= {hashed: symbol for hashed, (symbol, _) in reasons.items()}
        self._earlier.update(found)
        for hashed in self._reasons.keys() & found.keys() if self._reasons else ():
            if OUTCOMES[found[hashed]] not in IN_DOUBT:
                del self._reasons[hashed]
        self._reasons.update((hashed, reason) for hashed, (_, reason) in reasons.items())
        for hashed in self._settlements.keys() & found.keys():
            del self._settlements[hashed]
        for hashed in self._people.keys() & found.keys():
            del self._people[hashed]
        for at, person in read.people.items():
            if OUTCOMES[found[read.hashes[at]]] in IN_DOUBT:  # the last one counts
                self._people[read.hashes[at]] = person


def _hash_of(recipient: str) -> bytes:
    return bytes.fromhex(recipient[: 2 * HASH_BYTES])
