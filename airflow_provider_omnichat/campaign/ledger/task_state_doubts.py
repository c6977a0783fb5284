"""
The doubts of a task in its task state store, for people who look at them: a value at a time, however many there are.

Used while no try of the task runs: a batch that runs has the end of its journal in memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
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
    :param at: when it was claimed; of a batch, when the first of its chunk of the journal was.
    """

    recipient: str
    reason: Reason
    is_open: bool
    at: datetime


def doubts_in_store(store: ListedStore, campaign: str, most: int) -> list[StateDoubt]:
    """Read at most so many invites in doubt from the store of a task instance, whose journal is of this campaign."""
    return [*_single_doubts(store), *_batch_doubts(CheckedStore(store), journal_name(campaign))][:most]


def settle_in_store(
    store: ListedStore, campaign: str, recipient: str, settlement: Settlement, *, no_try_runs: bool = True
) -> str | None:
    """
    Settle an invite in doubt, and return why it was not settled, None if it was. Airflow must have no try running.

    :param no_try_runs: nor can a worker still finish what it had begun: open claims are settled, too.
    """
    key = recipient.ljust(_KEY_DIGITS, "0")
    ledger = StateStoreLedger(store) if store.keys(SINGLE_PREFIX + recipient) else StateStoreJournal(store, campaign)
    return ledger.settle([Claim(key, "")], {key: settlement}, no_try_runs=no_try_runs).get(key)


def _single_doubts(store: ListedStore) -> Iterator[StateDoubt]:
    checked = CheckedStore(store)
    for key in store.keys(SINGLE_PREFIX):
        entry = Entry.from_json(checked.get(key))
        if entry.outcome in IN_DOUBT:
            yield StateDoubt(key.removeprefix(SINGLE_PREFIX), reason_of(entry), entry.outcome is None, entry.at)


def _batch_doubts(store: CheckedStore, name: str) -> Iterator[StateDoubt]:
    """Read the doubts of a journal; see :meth:`StateStoreJournal.find`."""
    found: dict[bytes, Entry] = {}
    count = chunk_count(store, name)
    for read in read_journal(store, name, count, SettledInvites(store, name, is_new=not count)):
        if isinstance(read, Slice):
            _take_in(found, read)
            continue
        for hashed in read.keys() & found.keys():
            if SYMBOLS[found[hashed].outcome] == read[hashed].symbol:
                del found[hashed]
    for hashed, entry in found.items():
        yield StateDoubt(hashed.hex(), reason_of(entry), entry.outcome is None, entry.at)


def _take_in(found: dict[bytes, Entry], read: Slice) -> None:
    """Take in the doubts among some invites. One keeps its reason while it is one, also when it is claimed again."""
    before = {hashed: found.pop(hashed) for hashed in read.hashes if hashed in found} if found else {}
    doubtful: dict[str, tuple[str, Reason | None]] = {
        SYMBOLS[outcome]: (SYMBOLS[outcome], None) for outcome in IN_DOUBT
    }
    doubtful |= {symbol: each for symbol, each in read.explained.items() if each[0] in doubtful}
    matches = list(re.finditer(f"[{''.join(doubtful)}]", read.symbols))
    last = {hashed: at for at, hashed in enumerate(read.hashes)} if matches else {}
    for match in matches:
        hashed = read.hashes[match.start()]
        if last[hashed] == match.start():  # else it was claimed again in the same chunk
            symbol, reason = doubtful[match.group()]
            known = before[hashed].reason if hashed in before else None
            found[hashed] = Entry(OUTCOMES[symbol], read.claimed[0], reason=reason or known)
