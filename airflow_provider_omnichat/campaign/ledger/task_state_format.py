"""
The journal of a batch as it is kept in Airflow's task state store, and how it is read in the order it was written.

Its invites are in chunks of up to 4,000, side by side: a hash and a symbol for the outcome each. Why invites are in
doubt or were rejected is written once for all of a chunk that have the same reason. Who they are is written for open
claims and doubts alone: a claim that has ended makes room for the next one.

A journal has one writer, the running try. Someone who settles doubts from outside, on a page, writes values of their
own beside it: each says how far the journal reached at that moment, and what it had of the invites then. A settlement
counts only for invites that had the same symbol at that position; what the journal has behind it is newer.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason
from airflow_provider_omnichat.campaign.ledger.interface import IN_DOUBT, LedgerError, Settlement
from airflow_provider_omnichat.campaign.ledger.task_state import CheckedStore, Person
from airflow_provider_omnichat.campaign.model.sentences import cut

CHUNK_INVITES = 4000
"""Invites in one value at most."""

HASH_BYTES = 10
"""Bytes of a recipient key that a journal keeps."""

# With both, a value stays below the 65,535 bytes that Airflow allows.
_MOST_INVITES_BYTES = 58_000
_MOST_REASONS_BYTES = 7000
_INVITE_BYTES = 14.4
# Of the symbols below, so that the vendor's many refusals leave room for doubts.
_MOST_REFUSALS = 10
_LONGEST_REASON = 500
_MOST_SETTLED_BYTES = 60_000  # of one value, see above
_SETTLED_INVITE_BYTES = 30

SYMBOLS: dict[Outcome | None, str] = {
    None: ".",
    Outcome.ACCEPTED: "a",
    Outcome.REJECTED: "r",
    Outcome.NOT_SENT: "n",
    Outcome.UNKNOWN: "u",
    Outcome.HELD: "h",
}
OUTCOMES = {symbol: outcome for outcome, symbol in SYMBOLS.items()}
DOUBTS = frozenset(SYMBOLS[outcome] for outcome in IN_DOUBT)
# Each stands for "unknown" or "rejected" for one of the reasons that a chunk has.
_REASON_SYMBOLS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

Times = tuple[datetime, datetime]
"""When an invite may have been sent, at the earliest and at the latest."""

Explained = Mapping[str, tuple[str, Reason]]
"""What symbols with a reason stand for: the symbol of an outcome, and the reason."""


class Chunk:
    """A value that the running try writes."""

    __slots__ = ("_people_bytes", "_room", "hashes", "is_written", "key", "people", "reasons", "symbols")

    def __init__(self, key: str) -> None:
        self.key = key
        self.is_written = False
        self.hashes = bytearray()
        self.symbols = bytearray()
        self.reasons: list[tuple[Outcome, Reason]] = []
        self.people: dict[int, Person] = {}
        """Of open claims and doubts, by their position."""
        self._people_bytes = 0
        self._room = _MOST_REASONS_BYTES

    def fits(self, count: int, size: int) -> bool:
        """Return whether there is room for so many more claims of so many people's bytes."""
        invites = len(self.symbols) + count
        return invites <= CHUNK_INVITES and self._bytes(invites) + size <= _MOST_INVITES_BYTES

    @property
    def is_filling(self) -> bool:
        """Whether it may not take another block of claims."""
        return 3 * self._bytes(len(self.symbols)) > _MOST_INVITES_BYTES

    def add(self, hashed: bytes, person: Person, size: int) -> int:
        """Add an open claim, and return its position."""
        at = len(self.symbols)
        self.hashes += hashed
        self.symbols += b"."
        self.people[at] = person
        self._people_bytes += size
        return at

    def end(self, at: int, outcome: Outcome | None, reason: Reason | None, times: Times | None) -> None:
        """Write how a claim ended, and forget whose it was if that is certain; *times* replaces when it was sent."""
        person = self.people.pop(at)
        self._people_bytes -= person.size
        if outcome in IN_DOUBT:
            self.people[at] = person._replace(begin=times[0], end=times[1]) if times else person
            self._people_bytes += self.people[at].size
        self.symbols[at] = ord((self._symbol_of(outcome, reason) if reason else None) or SYMBOLS[outcome])

    def _bytes(self, invites: int) -> float:
        return invites * _INVITE_BYTES + self._people_bytes

    def _symbol_of(self, outcome: Outcome | None, reason: Reason) -> str | None:
        """Return the symbol of a doubt's or a refusal's reason; None for other outcomes, or if there is no room."""
        if outcome is not Outcome.UNKNOWN and outcome is not Outcome.REJECTED:
            return None
        first, since, status = (cut(each, _LONGEST_REASON) for each in (reason.first, reason.since, reason.status))
        whole = Reason(reason.code, first, since=since, status=status)
        # Without room for what happened to a doubt since, the reason alone.
        for kept in (whole, whole._replace(since="")):
            each = (outcome, kept)
            size = len(json.dumps(_reason_json(*each))) + 2
            if each not in self.reasons and size <= self._room and self._has_symbol(outcome):
                self.reasons.append(each)
                self._room -= size
            if each in self.reasons:
                return _REASON_SYMBOLS[self.reasons.index(each)]
        return None

    def _has_symbol(self, outcome: Outcome) -> bool:
        refusals = sum(kind is Outcome.REJECTED for kind, _ in self.reasons)
        is_full = outcome is Outcome.REJECTED and refusals >= _MOST_REFUSALS
        return not is_full and len(self.reasons) < len(_REASON_SYMBOLS)

    def to_json(self) -> dict[str, Any]:
        reasons = {"reasons": [_reason_json(*each) for each in self.reasons]} if self.reasons else {}
        people = {str(at): person.to_json() for at, person in self.people.items()}
        hashes, outcomes = b64encode(self.hashes).decode(), self.symbols.decode()
        return {"hashes": hashes, "outcomes": outcomes, "people": people, **reasons}


class Slice(NamedTuple):
    """Invites of one chunk that no settlement comes between; of the same invite the last one counts."""

    hashes: Sequence[bytes]
    symbols: str
    explained: Explained
    people: Mapping[int, Person]  # of open claims and doubts, by their position

    def between(self, begin: int, end: int | None = None) -> Slice:
        people = {at - begin: each for at, each in self.people.items() if begin <= at and (end is None or at < end)}
        return self._replace(hashes=self.hashes[begin:end], symbols=self.symbols[begin:end], people=people)


class Position(NamedTuple):
    """How far the journal reached: its last chunk, from 0, and how many invites that had."""

    chunk: int
    invites: int


class Settled(NamedTuple):
    """One invite that was settled, and the symbol that the journal had for it."""

    symbol: str
    settlement: Settlement


class SettledInvites:
    """What was settled in one journal; nothing if it *is_new*."""

    def __init__(self, store: CheckedStore, journal: str, is_new: bool) -> None:
        self._store = store
        self._name = f"{journal}:settled"
        self._count: int = 0 if is_new else store.get(self._name) or 0
        self.values = [_read_settled(store.get(f"{self._name}:{number}")) for number in range(self._count)]
        """Oldest first: how far the journal reached when each was written, and the invites by hash."""

    def add(self, position: Position, invites: Mapping[bytes, Settled]) -> None:
        """Write what was settled while the journal reached this far; durable on return."""
        for groups in _fitting(invites):
            # What is written and not counted yet is not there: then it is as much in doubt as before.
            self._store.set(f"{self._name}:{self._count}", {"after": list(position), "settled": groups})
            self._count += 1
            self._store.set(self._name, self._count)

    def remove(self, hashes: Collection[bytes]) -> None:
        """Take back what was settled for these invites; durable on return."""
        names = {b64encode(hashed).decode() for hashed in hashes}
        for number in range(self._count):
            key = f"{self._name}:{number}"
            value = self._store.get(key)
            for group in value["settled"]:
                group["invites"] = {name: each for name, each in group["invites"].items() if name not in names}
            self._store.set(key, value)


def journal_name(campaign: str) -> str:
    """Return what the keys of a campaign's journal begin with."""
    return "omnichat:batch:" + hashlib.blake2b(campaign.encode(), digest_size=8).hexdigest()


class SettledPerson(NamedTuple):
    """What was settled of an invite, and whose it is, if that is kept."""

    settlement: Settlement
    person: Person | None


class JournalState:
    """
    What a journal says about its invites, by hash.

    Every reader of a journal uses this, so that a task and a person who looks from outside cannot differ about it.

    :param keeps: the symbols of invites to remember; memory does not grow with the others, which are only counted.
    :raises LedgerError: it cannot be read.
    """

    def __init__(self, store: CheckedStore, name: str, keeps: Collection[str] = frozenset(OUTCOMES)) -> None:
        self._keeps = keeps
        self.symbols: dict[bytes, str] = {}
        self.reasons: dict[bytes, Reason] = {}
        self.people: dict[bytes, Person] = {}
        self.settled: dict[bytes, SettledPerson] = {}
        self.counts = Counter[str]()
        """Invites by symbol; right if all are kept that may be claimed again."""
        self.counted = store.get(f"{name}:count") or 0
        if not isinstance(self.counted, int):
            raise LedgerError("The task state store holds something other than this batch's journal; nothing was sent")
        self.settlements = SettledInvites(store, name, is_new=not self.counted)
        self.chunks = 0
        self._read(store, name)

    def _read(self, store: CheckedStore, name: str) -> None:
        """Read the journal in the order it was written: invites, and in between what was settled of them."""
        later = list(self.settlements.values)
        for number in range(self.counted):
            key = f"{name}:{number}"
            data = store.get(key)
            if data is None and number == self.counted - 1:
                break  # a crash between counting it and writing it: nothing of it was sent, and its number is free
            chunk, begin = _read_chunk(key, data), 0
            while later and later[0][0].chunk == number:
                position, invites = later.pop(0)
                self._take_in(chunk.between(begin, position.invites))
                self.settle(invites)
                begin = position.invites
            self._take_in(chunk.between(begin) if begin else chunk)
            self.chunks = number + 1
        for _, invites in later:
            self.settle(invites)

    def _take_in(self, read: Slice) -> None:
        """Take in invites. A doubt keeps its reason while it is one, also when it is claimed again."""
        found = dict(zip(read.hashes, read.symbols, strict=True))
        reasons = {hashed: read.explained[symbol] for hashed, symbol in found.items() if symbol in read.explained}
        found |= {hashed: symbol for hashed, (symbol, _) in reasons.items()}
        for hashed in self.symbols.keys() & found.keys():
            self.counts[self.symbols.pop(hashed)] -= 1
            self.settled.pop(hashed, None)
            self.people.pop(hashed, None)
            if found[hashed] not in DOUBTS:
                self.reasons.pop(hashed, None)
        self.counts.update(found.values())
        found = {hashed: symbol for hashed, symbol in found.items() if symbol in self._keeps}
        self.symbols.update(found)
        self.reasons.update((hashed, reason) for hashed, (_, reason) in reasons.items() if hashed in found)
        for at, person in read.people.items():
            hashed = read.hashes[at]
            if found.get(hashed) in DOUBTS:  # the last one counts
                self.people[hashed] = person

    def settle(self, invites: Mapping[bytes, Settled]) -> None:
        """Take in what was settled for invites that are still in doubt as they were then."""
        for hashed, (symbol, settlement) in invites.items():
            if self.symbols.get(hashed) == symbol:
                now = SYMBOLS[Outcome.ACCEPTED if settlement.was_sent else Outcome.NOT_SENT]
                self.counts.update({symbol: -1, now: 1})
                self.symbols[hashed] = now
                self.settled[hashed] = SettledPerson(settlement, self.people.get(hashed))
                if not settlement.was_sent:
                    self.reasons.pop(hashed, None)
                    self.people.pop(hashed, None)


def _read_chunk(key: str, data: Any) -> Slice:
    try:
        hashes, symbols = b64decode(data["hashes"], validate=True), data["outcomes"]
        explained = {
            symbol: (SYMBOLS[Outcome(each["outcome"])], Reason.from_json(each))
            for symbol, each in zip(_REASON_SYMBOLS, data.get("reasons", ()), strict=False)
        }
        if len(hashes) != len(symbols) * HASH_BYTES or not set(symbols) <= {*OUTCOMES, *explained}:
            raise ValueError("hashes and outcomes do not match")
        doubts = DOUBTS | {symbol for symbol, (each, _) in explained.items() if each in DOUBTS}
        people = {
            at: Person.from_json(data["people"][str(at)]) for at, symbol in enumerate(symbols) if symbol in doubts
        }
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
        raise LedgerError(
            f"The value {key} of the task state store's journal cannot be read; nothing was sent"
        ) from error
    each = [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]
    return Slice(each, symbols, explained, people)


def _read_settled(data: Any) -> tuple[Position, dict[bytes, Settled]]:
    try:
        found = {
            b64decode(hashed, validate=True): Settled(symbol, settlement)
            for group in data["settled"]
            for settlement in [Settlement.from_json(group)]
            for hashed, symbol in group["invites"].items()
        }
        return Position(*map(int, data["after"])), found
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise LedgerError("What was settled cannot be read in the task state store; nothing was sent") from error


def _fitting(invites: Mapping[bytes, Settled]) -> Iterator[list[dict[str, Any]]]:
    """Divide invites into what fits into a value, those with the same settlement together."""
    groups: dict[str, dict[str, Any]] = {}
    room = _MOST_SETTLED_BYTES
    for hashed, (symbol, settlement) in invites.items():
        data = settlement.to_json()
        name = json.dumps(data)
        if room < len(name) + 2 * _SETTLED_INVITE_BYTES:
            yield list(groups.values())
            groups, room = {}, _MOST_SETTLED_BYTES
        if name not in groups:
            groups[name] = {**data, "invites": {}}
            room -= len(name) + _SETTLED_INVITE_BYTES
        groups[name]["invites"][b64encode(hashed).decode()] = symbol
        room -= _SETTLED_INVITE_BYTES
    yield list(groups.values())


def _reason_json(outcome: Outcome, reason: Reason) -> dict[str, str]:
    return {"outcome": outcome.value, **reason.to_json()}
