"""
A task's invites in its task state store, for people who look from outside: who is in doubt, and what they settle.

Used while no try of the task runs: a batch that runs has the end of its journal in memory. Values are read one at a
time, and only invites that may be claimed again are remembered, however many there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from itertools import chain
from typing import NamedTuple, Protocol

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason
from airflow_provider_omnichat.campaign.ledger.audit import CLAIMED, Standing
from airflow_provider_omnichat.campaign.ledger.interface import IN_DOUBT, Claim, Entry, Settlement
from airflow_provider_omnichat.campaign.ledger.retake import reason_of
from airflow_provider_omnichat.campaign.ledger.settle import undone
from airflow_provider_omnichat.campaign.ledger.task_state import (
    SINGLE_PREFIX,
    CheckedStore,
    Person,
    StateStore,
    StateStoreLedger,
)
from airflow_provider_omnichat.campaign.ledger.task_state_format import (
    DOUBTS,
    HASH_BYTES,
    OUTCOMES,
    SYMBOLS,
    JournalState,
    SettledPerson,
    journal_name,
)
from airflow_provider_omnichat.campaign.ledger.task_state_journal import StateStoreJournal

HASH_DIGITS = 2 * HASH_BYTES
"""Hexadecimal digits of a recipient key that a journal keeps."""

_KEY_DIGITS = 32
# Accepted and rejected are never claimed again, unless they were settled.
_MAY_CHANGE = frozenset(OUTCOMES) - {SYMBOLS[Outcome.ACCEPTED], SYMBOLS[Outcome.REJECTED]}


class ListedStore(StateStore, Protocol):
    """A state store that can list its keys."""

    def keys(self, prefix: str, /) -> list[str]:
        """Return the keys that begin with this."""


class StateDoubt(NamedTuple):
    """An invite in doubt."""

    recipient: str  # its recipient key, of which a journal keeps the first HASH_DIGITS
    reason: Reason
    is_open: bool  # claimed, and without an outcome
    at: datetime  # when it was claimed, and so when it may have been sent
    key: str | None  # the user's key of the row
    number: str | None  # masked
    end: datetime  # when it may have been sent at the latest
    mark: str | None = None  # see Person


class StoreStanding(NamedTuple):
    """See :class:`.Standing`; *settled* is by recipient key, of which a journal keeps the first digits."""

    standing: Standing
    settled: dict[str, SettledPerson]


def doubts_in_store(store: ListedStore, campaign: str) -> Iterator[StateDoubt]:
    """Read the invites in doubt from the store of a task instance, whose journal is of this campaign."""
    yield from _single_doubts(store)
    yield from _batch_doubts(JournalState(CheckedStore(store), journal_name(campaign), DOUBTS))


def standing_in_store(store: ListedStore, campaign: str) -> StoreStanding:
    """Count the invites of a task instance, whose journal is of this campaign."""
    checked = CheckedStore(store)
    journal = JournalState(checked, journal_name(campaign), _MAY_CHANGE)
    counts = Counter({OUTCOMES[symbol] or CLAIMED: count for symbol, count in journal.counts.items()})
    settled = {hashed.hex(): each for hashed, each in journal.settled.items()}
    for key in store.keys(SINGLE_PREFIX):
        entry = Entry.from_json(checked.get(key))
        counts[entry.outcome or CLAIMED] += 1
        if entry.settlement:
            settled[key.removeprefix(SINGLE_PREFIX)] = SettledPerson(entry.settlement, None)
    doubts = Counter(str(doubt.reason.code) for doubt in chain(_single_doubts(store), _batch_doubts(journal)))
    words = Counter("sent" if each.settlement.was_sent else "not_sent" for each in settled.values())
    return StoreStanding(Standing(+counts, doubts, words), settled)


def settle_in_store(
    store: ListedStore, campaign: str, settlements: Mapping[str, Settlement], *, no_try_runs: bool = True
) -> dict[str, str]:
    """
    Settle invites in doubt, by recipient, and return why some were not settled. Airflow must have no try running.

    With *no_try_runs*, no worker can still finish what it had begun either: open claims are settled, too.
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


def undo_in_store(store: ListedStore, campaign: str, recipients: Collection[str], by: str) -> dict[str, str]:
    """Put invites wrongly settled as not sent in doubt again, and return why not; Airflow must have no try running."""
    checked = CheckedStore(store)
    journal = JournalState(checked, journal_name(campaign), _MAY_CHANGE)
    refused, due = dict[str, str](), set[bytes]()
    for recipient in recipients:
        found, hashed = checked.get(SINGLE_PREFIX + recipient), bytes.fromhex(recipient[:HASH_DIGITS])
        known = journal.settled.get(hashed)
        entry = Entry.from_json(found) if found else Entry.now(None)._replace(settlement=known and known.settlement)
        try:
            before = undone(entry, by)
        except ValueError as refusal:
            refused[recipient] = str(refusal)
            continue
        if found:
            checked.set(SINGLE_PREFIX + recipient, before.to_json())
        else:
            due.add(hashed)
    if due:
        journal.settlements.remove(due)
    return refused


def _single_doubts(store: ListedStore) -> Iterator[StateDoubt]:
    ledger = StateStoreLedger(store)
    for key in store.keys(SINGLE_PREFIX):
        recipient = key.removeprefix(SINGLE_PREFIX)
        for entry in ledger.find([Claim(recipient, "")]).values():
            if entry.outcome in IN_DOUBT:
                yield _doubt(recipient, entry, ledger.people[recipient])


def _batch_doubts(journal: JournalState) -> Iterator[StateDoubt]:
    for hashed, person in journal.people.items():
        if (symbol := journal.symbols[hashed]) in DOUBTS:
            entry = Entry(OUTCOMES[symbol], person.begin, reason=journal.reasons.get(hashed))
            yield _doubt(hashed.hex(), entry, person)


def _doubt(recipient: str, entry: Entry, person: Person) -> StateDoubt:
    key, number, at, end, mark = person
    return StateDoubt(recipient, reason_of(entry), entry.outcome is None, at, key, number, end, mark)
