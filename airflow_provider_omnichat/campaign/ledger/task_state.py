"""
The ledger of a single invite, in Airflow's task state store.

Nothing to set up; it outlives retries, crashes and *Clear*. It belongs to one task instance. What the ledger of a batch
shares with it is here as well: the store and its failures, and whose invite is in doubt.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from json.encoder import encode_basestring_ascii
from secrets import token_hex
from typing import Any, NamedTuple, Protocol, Self

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.privacy import mask_number
from airflow_provider_omnichat.campaign.ledger.interface import IN_DOUBT, Claim, Entry, Ledger, LedgerError, Settlement
from airflow_provider_omnichat.campaign.ledger.retake import doubt_of_open
from airflow_provider_omnichat.campaign.ledger.settle import settle_each
from airflow_provider_omnichat.campaign.model.message_ids import mark_of
from airflow_provider_omnichat.campaign.model.rows import shown_key
from airflow_provider_omnichat.campaign.model.sentences import cut

KEEP_FOREVER = timedelta.max
"""What Airflow calls ``NEVER_EXPIRE``: an entry lives as long as its DAG run, not just 30 days."""

SINGLE_PREFIX = "omnichat:invite:"
_ID_KEY = "omnichat:message-ids"
_NOT_THERE = object()
_LONGEST_KEY = 60
_TELLING_DIGITS = 6
_TIME_BYTES = 12
_PERSON_BYTES = 20  # without key, number and times


class StateStore(Protocol):
    """What is used of ``context["task_state_store"]``."""

    def get(self, key: str, default: Any = None, /) -> Any:
        """Return the value, *default* if there is none."""

    def set(self, key: str, value: Any, /, *, retention: timedelta | None = None) -> None:
        """Write a value."""


class CheckedStore:
    """A state store all of whose failures are a :class:`LedgerError`."""

    def __init__(self, store: StateStore) -> None:
        self._store = store

    def get(self, key: str) -> Any:
        """Read a value; None if there is none."""
        try:
            value = self._store.get(key, _NOT_THERE)
        except Exception as error:  # whatever a store raises, nothing may be sent after it
            raise LedgerError(
                f"The task state store cannot be read ({type(error).__name__}); nothing was sent", is_outage=True
            ) from error
        if value is None:  # never written: Airflow has the key, and its [workers] state_store_backend lost the value
            raise LedgerError(f"The task state store has lost {key}: its backend must be one that all workers share")
        return None if value is _NOT_THERE else value

    def set(self, key: str, value: Any) -> None:
        """Write a value that is kept as long as the DAG run."""
        try:
            self._store.set(key, value, retention=KEEP_FOREVER)
        except LedgerError:  # which says more
            raise
        except Exception as error:  # see above
            is_outage = not isinstance(error, TypeError | ValueError)  # these are about the value, and stay so
            raise LedgerError(
                f"The task state store cannot be written ({type(error).__name__})", is_outage=is_outage
            ) from error

    def set_and_see(self, key: str, value: Any) -> None:
        self.set(key, value)
        # Airflow says "no such key" also when its server cannot find the task instance, or when a proxy answers 404.
        # What cannot be read back now would not be found by the next try, and what an earlier try wrote was not found
        # either.
        if self.get(key) != value:
            raise LedgerError("What was written to the task state store was not found again; nothing was sent")

    def id_key(self) -> bytes:
        """See :class:`.interface.Ledger`: the tries of a task instance come one after the other."""
        if (key := self.get(_ID_KEY)) is None:
            self.set_and_see(_ID_KEY, key := token_hex(16))
        try:
            return bytes.fromhex(key)
        except (TypeError, ValueError) as error:
            raise LedgerError(
                "The key of message ids in the task state store cannot be read; nothing was sent"
            ) from error


class Person(NamedTuple):
    """Whose invite is in doubt, as a store keeps it: enough to look it up, and no whole number."""

    key: str | None  # the user's key of the row, if it has one; cut
    number: str | None  # masked; None if it is not kept
    begin: datetime  # when it may have been sent, at the earliest
    end: datetime
    mark: str | None = None  # what its message id says of what was sent; None without an id of ours

    @classmethod
    def of(cls, claim: Claim, begin: datetime, end: datetime) -> Self:
        key = _kept_key(claim.key, claim.identity) if claim.key else None
        return cls(key, mask_number(claim.identity), begin, end, mark_of(claim.message_id))

    @classmethod
    def from_json(cls, data: Sequence[Any]) -> Self:
        """Read what :meth:`to_json` returned."""
        key, number, *times = data
        mark = times.pop() if isinstance(times[-1], str) else None
        begin, end = (datetime.fromtimestamp(times[at], UTC) for at in (0, -1))
        return cls(key, number, begin, end, mark)

    def to_json(self) -> list[Any]:
        begin, end = int(self.begin.timestamp()), int(self.end.timestamp())
        return [self.key, self.number, begin, *([end] if end != begin else []), *([self.mark] if self.mark else [])]

    @property
    def was_repeated(self) -> bool:
        """Whether it was claimed again while it was in doubt."""
        return int(self.begin.timestamp()) != int(self.end.timestamp())

    @property
    def size(self) -> int:
        """Bytes in a chunk."""
        times = _TIME_BYTES if self.begin == self.end else 2 * _TIME_BYTES
        key = len(encode_basestring_ascii(self.key)) if self.key else len("null")
        mark = len(self.mark) + 4 if self.mark else 0
        return _PERSON_BYTES + times + key + len(self.number or "null") + mark


class StateStoreLedger(Ledger):
    """One key for each recipient, with the vendor's whole answer; each record is written at once."""

    group_factor: float = 1

    def __init__(self, store: StateStore) -> None:
        self._store = CheckedStore(store)
        self.people: dict[str, Person] = {}
        """Whose open claims and doubts were found or claimed, by recipient."""

    def id_key(self) -> bytes:
        return self._store.id_key()

    def claim(self, claims: Sequence[Claim], retake: Collection[Outcome | None]) -> Mapping[str, Entry]:
        known = self.find(claims)
        taken = {recipient: entry for recipient, entry in known.items() if entry.outcome not in retake}
        for claim in claims:
            if claim.recipient not in taken:
                before, now = known.get(claim.recipient), datetime.now(UTC)
                reason, begin = None, now
                if before is not None and before.outcome in IN_DOUBT:
                    reason, begin = before.reason, self.people[claim.recipient].begin
                self.people[claim.recipient] = Person.of(claim, begin, now)
                entry = Entry(None, now, reason=reason, message_id=claim.message_id)
                self._store.set_and_see(_key(claim.recipient), self._data(claim.recipient, entry))
        return taken

    def find(self, claims: Sequence[Claim]) -> Mapping[str, Entry]:
        found = {claim.recipient: self._store.get(_key(claim.recipient)) for claim in claims}
        return {recipient: self._entry(recipient, data) for recipient, data in found.items() if data is not None}

    def record(self, entries: Mapping[str, Entry]) -> None:
        for recipient, entry in entries.items():
            if entry.claimed_at is not None and recipient in self.people:  # it was not sent again after all
                self.people[recipient] = self.people[recipient]._replace(begin=entry.claimed_at, end=entry.at)
            self._store.set(_key(recipient), self._data(recipient, entry))

    def leave_in_doubt(self, claims: Sequence[Claim]) -> None:
        self.record({name: doubt_of_open(entry) for name, entry in self.find(claims).items() if entry.outcome is None})

    def settle(
        self, claims: Sequence[Claim], settlements: Mapping[str, Settlement], *, no_try_runs: bool = False
    ) -> Mapping[str, str]:
        # Not from outside the task while a try of it runs: the store has no transactions.
        entries, refused = settle_each(self.find(claims), settlements, no_try_runs=no_try_runs)
        self.record(entries)
        return refused

    def _entry(self, recipient: str, data: Any) -> Entry:
        entry = Entry.from_json(data)
        if entry.outcome not in IN_DOUBT:
            return entry
        try:
            kept = data.get("person")
            person = Person.from_json(kept) if kept else Person(None, None, entry.at, entry.at)
        except (IndexError, OverflowError, TypeError, ValueError) as error:
            raise LedgerError("The task state store's entry of this invite cannot be read; nothing was sent") from error
        self.people[recipient] = person
        return entry._replace(claimed_at=person.begin)

    def _data(self, recipient: str, entry: Entry) -> dict[str, Any]:
        is_named = entry.outcome in IN_DOUBT and recipient in self.people
        return {**entry.to_json(), **({"person": self.people[recipient].to_json()} if is_named else {})}


def _key(recipient: str) -> str:
    return SINGLE_PREFIX + recipient


def _kept_key(key: str, identity: str) -> str | None:
    is_number = identity[-_TELLING_DIGITS:] in "".join(filter(str.isdigit, key))
    if not is_number and len(key) <= _LONGEST_KEY and key.isascii() and key.isprintable() and " " not in key:
        return key
    key = shown_key(key, identity) or ""
    return cut(key, _LONGEST_KEY) or None
