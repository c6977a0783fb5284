"""How the invites of a task stand in its task state store, what was settled of them, and how that is undone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import NamedTuple

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.ledger.audit import CLAIMED, Standing
from airflow_provider_omnichat.campaign.ledger.interface import Entry, Settlement
from airflow_provider_omnichat.campaign.ledger.settle import undone
from airflow_provider_omnichat.campaign.ledger.task_state import SINGLE_PREFIX, CheckedStore
from airflow_provider_omnichat.campaign.ledger.task_state_doubts import HASH_DIGITS, ListedStore, doubts_in_store
from airflow_provider_omnichat.campaign.ledger.task_state_format import (
    OUTCOMES,
    SYMBOLS,
    SettledInvites,
    Slice,
    chunk_count,
    journal_name,
    read_journal,
)
from airflow_provider_omnichat.campaign.ledger.task_state_person import Person

# Never claimed again, unless it was settled.
_FINAL = SYMBOLS[Outcome.ACCEPTED] + SYMBOLS[Outcome.REJECTED]
_WORDS = {True: "sent", False: "not_sent"}


class StoreSettled(NamedTuple):
    """What was settled of an invite, and whose it is, if that is kept."""

    settlement: Settlement
    person: Person | None


class StoreStanding(NamedTuple):
    """
    See :class:`.Standing`.

    :param settled: by the recipient key, of which a journal keeps the first digits.
    """

    standing: Standing
    settled: dict[str, StoreSettled]


def standing_in_store(store: ListedStore, campaign: str) -> StoreStanding:
    """
    Count the invites of a task instance, whose journal is of this campaign.

    :raises LedgerError: the store cannot be read.
    """
    checked = CheckedStore(store)
    counts, settled = _of_journal(checked, journal_name(campaign))
    for key in store.keys(SINGLE_PREFIX):
        entry = Entry.from_json(checked.get(key))
        counts[entry.outcome or CLAIMED] += 1
        if entry.settlement:
            settled[key.removeprefix(SINGLE_PREFIX)] = StoreSettled(entry.settlement, None)
    doubts = Counter(str(doubt.reason.code) for doubt in doubts_in_store(store, campaign))
    words = Counter(_WORDS[each.settlement.was_sent] for each in settled.values())
    return StoreStanding(Standing(+counts, doubts, words), settled)


def undo_in_store(store: ListedStore, campaign: str, recipients: Collection[str], by: str) -> dict[str, str]:
    """
    Put invites that were wrongly settled as not sent in doubt again, and return why not, by recipient.

    Airflow must have no try running.
    """
    checked, name = CheckedStore(store), journal_name(campaign)
    _, settled = _of_journal(checked, name)
    refused, due = dict[str, str](), set[bytes]()
    for recipient in recipients:
        found, hashed = checked.get(SINGLE_PREFIX + recipient), recipient[:HASH_DIGITS]
        known = settled.get(hashed)
        entry = Entry.from_json(found) if found else Entry.now(None)._replace(settlement=known and known.settlement)
        try:
            before = undone(entry, by)
        except ValueError as refusal:
            refused[recipient] = str(refusal)
            continue
        if found:
            checked.set(SINGLE_PREFIX + recipient, before.to_json())
        else:
            due.add(bytes.fromhex(hashed))
    if due:
        SettledInvites(checked, name, is_new=False).remove(due)
    return refused


def _of_journal(store: CheckedStore, name: str) -> tuple[Counter[str], dict[str, StoreSettled]]:
    """Read it as :meth:`.StateStoreJournal.find` does, and remember only what may be claimed again."""
    counts, settled = Counter[str](), dict[str, StoreSettled]()
    may_change: dict[bytes, tuple[str, Person | None]] = {}
    count = chunk_count(store, name)
    for read in read_journal(store, name, count, SettledInvites(store, name, is_new=not count)):
        if isinstance(read, Slice):
            for at, (hashed, written) in enumerate(zip(read.hashes, read.symbols, strict=True)):
                if before := may_change.pop(hashed, None):
                    counts[before[0]] -= 1
                    settled.pop(hashed.hex(), None)
                symbol = read.explained[written][0] if written in read.explained else written
                counts[symbol] += 1
                if symbol not in _FINAL:
                    may_change[hashed] = symbol, read.people.get(at)
            continue
        for hashed, (symbol, settlement) in read.items():
            known, person = may_change.get(hashed, (None, None))
            if known == symbol:
                now = SYMBOLS[Outcome.ACCEPTED if settlement.was_sent else Outcome.NOT_SENT]
                counts.update({symbol: -1, now: 1})
                may_change[hashed] = now, person
                settled[hashed.hex()] = StoreSettled(settlement, person)
    return Counter({OUTCOMES[symbol] or CLAIMED: number for symbol, number in counts.items()}), settled
