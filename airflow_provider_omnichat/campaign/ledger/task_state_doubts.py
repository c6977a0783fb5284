"""
The doubts of a task in its task state store, for people who look at them: a value at a time, however many there are.

Used while no try of the task runs: a batch that runs has the end of its journal in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple, Protocol

from airflow_provider_omnichat.api.reasons import Reason
from airflow_provider_omnichat.campaign.ledger.interface import IN_DOUBT, Claim, Entry, Settlement
from airflow_provider_omnichat.campaign.ledger.retake import reason_of
from airflow_provider_omnichat.campaign.ledger.task_state import (
    SINGLE_PREFIX,
    CheckedStore,
    StateStore,
    StateStoreLedger,
)
from airflow_provider_omnichat.campaign.ledger.task_state_format import (
    HASH_BYTES,
    OUTCOMES,
    SYMBOLS,
    SettledInvites,
    Slice,
    chunk_count,
    journal_name,
    read_journal,
)
from airflow_provider_omnichat.campaign.ledger.task_state_journal import StateStoreJournal
from airflow_provider_omnichat.campaign.ledger.task_state_person import Person

HASH_DIGITS = 2 * HASH_BYTES
"""Hexadecimal digits of a recipient key that a journal keeps."""

_KEY_DIGITS = 32


class ListedStore(StateStore, Protocol):
    """A state store that can list its keys."""

    def keys(self, prefix: str, /) -> list[str]:
        """Return the keys that begin with this."""


class StateDoubt(NamedTuple):
    """
    An invite in doubt.

    :param recipient: its recipient key, of which a journal keeps the first :data:`HASH_DIGITS`.
    :param is_open: whether it was claimed and has no outcome.
    :param at: when it was claimed, and so when it may have been sent; *end* at the latest.
    :param key: the user's key of the row; None if it has none.
    :param number: masked; None if an earlier version of the provider wrote it.
    """

    recipient: str
    reason: Reason
    is_open: bool
    at: datetime
    key: str | None
    number: str | None
    end: datetime


def doubts_in_store(store: ListedStore, campaign: str) -> Iterator[StateDoubt]:
    """Read the invites in doubt from the store of a task instance, whose journal is of this campaign."""
    yield from _single_doubts(store)
    yield from _batch_doubts(CheckedStore(store), journal_name(campaign))


def settle_in_store(
    store: ListedStore,
    campaign: str,
    settlements: Mapping[str, Settlement],
    *,
    no_try_runs: bool = True,
) -> dict[str, str]:
    """
    Settle invites in doubt, by recipient, and return why some were not settled. Airflow must have no try running.

    :param no_try_runs: nor can a worker still finish what it had begun: open claims are settled, too.
    """
    singles = {recipient for recipient in settlements if store.keys(SINGLE_PREFIX + recipient)}
    refused: dict[str, str] = {}
    for chosen in filter(None, (singles, settlements.keys() - singles)):
        keys = {recipient.ljust(_KEY_DIGITS, "0"): recipient for recipient in chosen}
        ledger = StateStoreLedger(store) if chosen is singles else StateStoreJournal(store, campaign)
        known = {key: settlements[recipient] for key, recipient in keys.items()}
        answer = ledger.settle([Claim(key, "") for key in keys], known, no_try_runs=no_try_runs)
        refused |= {keys[key]: why for key, why in answer.items()}
    return refused


def _single_doubts(store: ListedStore) -> Iterator[StateDoubt]:
    ledger = StateStoreLedger(store)
    for key in store.keys(SINGLE_PREFIX):
        recipient = key.removeprefix(SINGLE_PREFIX)
        for entry in ledger.find([Claim(recipient, "")]).values():
            if entry.outcome in IN_DOUBT:
                yield _doubt(recipient, entry, ledger.people[recipient])


def _doubt(recipient: str, entry: Entry, person: Person) -> StateDoubt:
    key, number, at, end = person
    return StateDoubt(recipient, reason_of(entry), entry.outcome is None, at, key, number, end)


def _batch_doubts(store: CheckedStore, name: str) -> Iterator[StateDoubt]:
    """Read the doubts of a journal; see :meth:`StateStoreJournal.find`."""
    found: dict[bytes, tuple[Entry, Person]] = {}
    count = chunk_count(store, name)
    for read in read_journal(store, name, count, SettledInvites(store, name, is_new=not count)):
        if isinstance(read, Slice):
            _take_in(found, read)
            continue
        for hashed in read.keys() & found.keys():
            if SYMBOLS[found[hashed][0].outcome] == read[hashed].symbol:
                del found[hashed]
    for hashed, (entry, person) in found.items():
        yield _doubt(hashed.hex(), entry, person)


def _take_in(found: dict[bytes, tuple[Entry, Person]], read: Slice) -> None:
    """Take in the doubts among some invites. One keeps its reason while it is one, also when it is claimed again."""
    before = {hashed: found.pop(hashed) for hashed in read.hashes if hashed in found} if found else {}
    last = {hashed: at for at, hashed in enumerate(read.hashes)} if read.people else {}
    for at, person in read.people.items():
        hashed, symbol = read.hashes[at], read.symbols[at]
        if last[hashed] == at:  # else it was claimed again in the same chunk
            symbol, reason = read.explained.get(symbol, (symbol, None))
            known = before[hashed][0].reason if hashed in before else None
            found[hashed] = Entry(OUTCOMES[symbol], person.begin, reason=reason or known), person
