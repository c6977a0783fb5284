"""How the invites of a task stand in its task state store, what was settled of them, and how that is undone."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection
from functools import partial
from typing import NamedTuple

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.ledger.audit import CLAIMED, Standing
from airflow_provider_omnichat.campaign.ledger.interface import Claim, Entry, Settlement
from airflow_provider_omnichat.campaign.ledger.settle import undone
from airflow_provider_omnichat.campaign.ledger.task_state import SINGLE_PREFIX, CheckedStore, StateStoreLedger
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
from airflow_provider_omnichat.campaign.ledger.task_state_journal import StateStoreJournal

# Never claimed again, unless it was settled.
_FINAL = SYMBOLS[Outcome.ACCEPTED] + SYMBOLS[Outcome.REJECTED]
_KEY_DIGITS = 32
_WORDS = {True: "sent", False: "not_sent"}


class StoreStanding(NamedTuple):
    """
    See :class:`.Standing`.

    :param settled: by the recipient key, of which a journal keeps the first digits.
    """

    standing: Standing
    settled: dict[str, Settlement]


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
            settled[key.removeprefix(SINGLE_PREFIX)] = entry.settlement
    doubts = Counter(str(doubt.reason.code) for doubt in doubts_in_store(store, campaign, sys.maxsize))
    words = Counter(_WORDS[settlement.was_sent] for settlement in settled.values())
    return StoreStanding(Standing(+counts, doubts, words), settled)


def settle_many_in_store(
    store: ListedStore, campaign: str, recipients: Collection[str], settlement: Settlement, *, no_try_runs: bool
) -> dict[str, str]:
    """
    Settle invites in doubt, and return why some were not settled, by recipient. Airflow must have no try running.

    :param no_try_runs: nor can a worker still finish what it had begun: open claims are settled, too.
    """
    refused: dict[str, str] = {}
    singles = {recipient for recipient in recipients if store.keys(SINGLE_PREFIX + recipient)}
    for chosen, kind in (
        (singles, StateStoreLedger),
        (set(recipients) - singles, partial(StateStoreJournal, campaign=campaign)),
    ):
        keys = {recipient.ljust(_KEY_DIGITS, "0"): recipient for recipient in chosen}
        if keys:
            claims = [Claim(key, "") for key in keys]
            answer = kind(store).settle(claims, dict.fromkeys(keys, settlement), no_try_runs=no_try_runs)
            refused |= {keys[key]: why for key, why in answer.items()}
    return refused


def undo_in_store(store: ListedStore, campaign: str, recipients: Collection[str], by: str) -> dict[str, str]:
    """
    Put invites that were wrongly settled as not sent in doubt again, and return why not, by recipient.

    Airflow must have no try running.
    """
    checked, name = CheckedStore(store), journal_name(campaign)
    _, settled = _of_journal(checked, name)
    refused, due = dict[str, str](), set[bytes]()
    for recipient in recipients:
        found = checked.get(SINGLE_PREFIX + recipient)
        hashed = recipient[:HASH_DIGITS]
        entry = Entry.from_json(found) if found else Entry.now(None)._replace(settlement=settled.get(hashed))
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


def _of_journal(store: CheckedStore, name: str) -> tuple[Counter[str], dict[str, Settlement]]:
    """Read it as :meth:`.StateStoreJournal.find` does, and remember only what may be claimed again."""
    counts, open_to, settled = Counter[str](), dict[bytes, str](), dict[str, Settlement]()
    count = chunk_count(store, name)
    for read in read_journal(store, name, count, SettledInvites(store, name, is_new=not count)):
        if isinstance(read, Slice):
            plain = {symbol: each for symbol, (each, _) in read.explained.items()}
            for hashed, written in zip(read.hashes, read.symbols, strict=True):
                before, symbol = open_to.pop(hashed, None), plain.get(written, written)
                if before is not None:
                    counts[before] -= 1
                    settled.pop(hashed.hex(), None)
                counts[symbol] += 1
                if symbol not in _FINAL:
                    open_to[hashed] = symbol
            continue
        for hashed, (symbol, settlement) in read.items():
            if open_to.get(hashed) == symbol:
                counts[symbol] -= 1
                open_to[hashed] = SYMBOLS[Outcome.ACCEPTED if settlement.was_sent else Outcome.NOT_SENT]
                counts[open_to[hashed]] += 1
                settled[hashed.hex()] = settlement
    return Counter({OUTCOMES[symbol] or CLAIMED: number for symbol, number in counts.items()}), settled
