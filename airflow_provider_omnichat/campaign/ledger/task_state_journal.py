"""
The ledger of a batch in Airflow's task state store: many invites in few, compact values.

A value of the store costs about 12 ms to write, so a key for each invite would be the slowest part of sending. Here up
to 4,000 invites share one value: ten bytes of hash each in base64, and one symbol for the outcome,
together 14.4 bytes an invite. While an invite is claimed or in doubt, its key and its masked number are there as well,
about 55 bytes more; the chunk is written anyway. Whole numbers are never in it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason
from airflow_provider_omnichat.campaign.ledger.interface import Claim, Entry, LedgerError, Settlement
from airflow_provider_omnichat.campaign.ledger.retake import reason_of
from airflow_provider_omnichat.campaign.ledger.settle import settle_each
from airflow_provider_omnichat.campaign.ledger.task_state import CheckedStore, Person, StateStore
from airflow_provider_omnichat.campaign.ledger.task_state_format import (
    DOUBTS,
    HASH_BYTES,
    OUTCOMES,
    SYMBOLS,
    Chunk,
    JournalState,
    Position,
    Settled,
    Times,
    journal_name,
)
from airflow_provider_omnichat.campaign.model.message_ids import with_mark

_MOMENT = timedelta(seconds=1)  # in which times are kept


class StateStoreJournal:
    """A ledger that only grows: what is claimed again is appended again, and the last one counts."""

    group_factor: float = 3.5  # each write sends a whole segment, and Airflow takes 12 ms for it

    def __init__(self, store: StateStore, campaign: str) -> None:
        self._store = CheckedStore(store)
        self.id_key = self._store.id_key
        self._name = journal_name(campaign)
        self._earlier = JournalState(self._store, self._name)
        self._chunks, self._counted = self._earlier.chunks, self._earlier.counted
        self._open: dict[bytes, tuple[Chunk, int]] = {}
        self._dirty: dict[str, Chunk] = {}
        self._last: Chunk | None = None
        self._seen_back = False

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
        known, found = self._earlier, dict[str, Entry]()
        for claim in claims if known.symbols else ():
            hashed = _hash_of(claim.recipient)
            symbol = known.symbols.get(hashed)
            if symbol is not None:
                person, settled = known.people.get(hashed), known.settled.get(hashed)
                found[claim.recipient] = Entry(
                    OUTCOMES[symbol],
                    person.end if person else datetime.now(UTC),
                    reason=known.reasons.get(hashed),
                    settlement=settled and settled.settlement,
                    claimed_at=person.begin if person else None,
                    message_id=with_mark(claim.message_id, person.mark) if person else None,
                    was_repeated=person is not None and person.was_repeated,
                )
        return found

    def repeated(self) -> int:
        known = self._earlier
        return sum(each.was_repeated and known.symbols[hashed] in DOUBTS for hashed, each in known.people.items())

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
            times = (entry.claimed_at or entry.at, entry.at)
            self._end(_hash_of(recipient), Outcome.UNKNOWN, reason_of(entry), times)
        self.flush()

    def settle(
        self, claims: Sequence[Claim], settlements: Mapping[str, Settlement], *, no_try_runs: bool = False
    ) -> Mapping[str, str]:
        # Not from outside the task while a try of it runs, which would not see it. What that try records is newer.
        entries, refused = settle_each(self.find(claims), settlements, no_try_runs=no_try_runs)
        if entries:
            hashes = {_hash_of(name): settlements[name] for name in entries}
            changed = {each: Settled(self._earlier.symbols[each], settlement) for each, settlement in hashes.items()}
            end = (self._chunks, 0) if self._last is None else (self._chunks - 1, len(self._last.symbols))
            self._earlier.settlements.add(Position(*end), changed)
            self._earlier.settle(changed)
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
            before = self._earlier.people.get(hashed)  # in doubt, it may have been sent when it was claimed first
            begin, end = (before.begin, max(now, before.begin + _MOMENT)) if before else (now, now)
            person = Person.of(claim, begin, end)
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
        known = self._earlier
        for hashed in hashes:
            if hashed in self._open:
                # What an earlier try may have sent is as much in doubt as it was.
                outcome = OUTCOMES[known.symbols.get(hashed, SYMBOLS[Outcome.NOT_SENT])]
                before = known.people.get(hashed)
                self._end(hashed, outcome, known.reasons.get(hashed), before and (before.begin, before.end))

    def _end(self, hashed: bytes, outcome: Outcome | None, reason: Reason | None, times: Times | None) -> None:
        chunk, at = self._open.pop(hashed)
        chunk.end(at, outcome, reason, times)
        self._dirty[chunk.key] = chunk
        if outcome is Outcome.UNKNOWN and reason is not None:  # this try may claim it again
            known = self._earlier
            known.symbols[hashed], known.reasons[hashed] = SYMBOLS[outcome], reason
            known.people[hashed] = chunk.people[at]


def _hash_of(recipient: str) -> bytes:
    return bytes.fromhex(recipient[: 2 * HASH_BYTES])
