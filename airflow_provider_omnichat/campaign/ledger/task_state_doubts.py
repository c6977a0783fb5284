"""
The doubts of a task in its task state store, for people who look at them: a value at a time, however many there are.

Used while the task is not at work: a batch that is at work has the end of its journal in memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple, Protocol

from airflow_provider_omnichat.api.reasons import Reason
from airflow_provider_omnichat.campaign.ledger.interface import IN_DOUBT, Claim, Entry, Settlement
from airflow_provider_omnichat.campaign.ledger.retake import NEVER_ENDED, reason_of
from airflow_provider_omnichat.campaign.ledger.task_state import CheckedStore, StateStore, StateStoreLedger
from airflow_provider_omnichat.campaign.ledger.task_state_journal import StateStoreJournal
from airflow_provider_omnichat.campaign.ledger.task_state_segment import (
    HASH_BYTES,
    LETTERS,
    Explained,
    Span,
    journal_name,
    read_segment,
)
from airflow_provider_omnichat.campaign.ledger.task_state_settled import Place, SettledInvites

SHORT_DIGITS = 2 * HASH_BYTES
"""Hexadecimal digits of a recipient key that a journal keeps."""

_SINGLE = "omnichat:invite:"
_KEY_DIGITS = 32


class ListedStore(StateStore, Protocol):
    """A state store that can tell its keys."""

    def keys(self, prefix: str, /) -> list[str]:
        """Give the keys that begin so."""


class StateDoubt(NamedTuple):
    """
    An invite in doubt.

    :param recipient: its recipient key, of which a journal keeps the first :data:`SHORT_DIGITS`.
    :param reason: why.
    :param is_open: whether it was claimed, and nobody has said how it ended.
    :param at: when it was claimed; of a batch, when the first of its part of the journal was.
    """

    recipient: str
    reason: Reason
    is_open: bool
    at: datetime


class _Found(NamedTuple):
    reason: Reason | None
    is_open: bool
    place: Place
    claimed: Span


def doubts_in_store(store: ListedStore, campaign: str, most: int) -> list[StateDoubt]:
    """
    Give what may have been sent, or not.

    :param store: of the task instance.
    :param campaign: whose journal it has.
    :param most: doubts at most.
    :raises LedgerError: the store cannot be read, or holds something else.
    """
    return [*_single_doubts(store), *_batch_doubts(CheckedStore(store), journal_name(campaign))][:most]


def settle_in_store(store: ListedStore, campaign: str, recipient: str, settlement: Settlement) -> str | None:
    """
    Write how an invite ended that was in doubt. No try of the task may be running.

    :param store: of the task instance.
    :param campaign: whose journal it has.
    :param recipient: of the doubt.
    :param settlement: what is said of it.
    :return: why it was not settled; None if it was.
    :raises LedgerError: the store cannot be read or written.
    """
    key = recipient.ljust(_KEY_DIGITS, "0")
    ledger = StateStoreLedger(store) if store.keys(_SINGLE + recipient) else StateStoreJournal(store, campaign)
    return ledger.settle([Claim(key, "")], {key: settlement}, no_try_runs=True).get(key)


def _single_doubts(store: ListedStore) -> Iterator[StateDoubt]:
    checked = CheckedStore(store)
    for key in store.keys(_SINGLE):
        entry = Entry.from_json(checked.get(key))
        if entry.outcome in IN_DOUBT:
            yield StateDoubt(key.removeprefix(_SINGLE), reason_of(entry), entry.outcome is None, entry.at)


def _batch_doubts(store: CheckedStore, name: str) -> Iterator[StateDoubt]:
    """Give the doubts of a journal: of the same invite, what is written later counts."""
    found: dict[bytes, _Found] = {}
    for number, (shorts, letters, explained, span) in enumerate(_segments(store, name)):
        for short in shorts if found else ():
            found.pop(short, None)
        doubtful = {LETTERS[outcome]: None for outcome in IN_DOUBT}
        doubts = doubtful | {letter: reason for letter, (plain, reason) in explained.items() if plain in doubtful}
        for match in re.finditer(f"[{re.escape(''.join(doubts))}]", letters):
            letter = match.group()
            place = Place(number, match.end())
            found[shorts[match.start()]] = _Found(doubts[letter], letter == LETTERS[None], place, span)
    for after, invites in SettledInvites(store, name, is_new=False).blocks:
        for short in invites.keys() & found.keys():
            if found[short].place <= after:  # else it was claimed again since, and is in doubt anew
                del found[short]
    for short, doubt in found.items():
        yield StateDoubt(short.hex(), doubt.reason or NEVER_ENDED, doubt.is_open, doubt.claimed[0])


def _segments(store: CheckedStore, name: str) -> Iterator[tuple[list[bytes], str, Explained, Span]]:
    count = store.get(f"{name}:count") or 0
    for number in range(count if isinstance(count, int) else 0):
        key = f"{name}:{number}"
        data = store.get(key)
        if data is None and number == count - 1:
            return  # counted and never written: nothing of it was sent
        yield read_segment(key, data)
