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
from airflow_provider_omnichat.campaign.ledger.retake import reason_of
from airflow_provider_omnichat.campaign.ledger.task_state import CheckedStore, StateStore, StateStoreLedger
from airflow_provider_omnichat.campaign.ledger.task_state_journal import StateStoreJournal
from airflow_provider_omnichat.campaign.ledger.task_state_parts import Part, read_parts, segment_count
from airflow_provider_omnichat.campaign.ledger.task_state_segment import HASH_BYTES, LETTERS, OUTCOMES, journal_name
from airflow_provider_omnichat.campaign.ledger.task_state_settled import SettledInvites

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


def doubts_in_store(store: ListedStore, campaign: str, most: int) -> list[StateDoubt]:
    """
    Give what may have been sent, or not.

    :param store: of the task instance.
    :param campaign: whose journal it has.
    :param most: doubts at most.
    :raises LedgerError: the store cannot be read, or holds something else.
    """
    return [*_single_doubts(store), *_batch_doubts(CheckedStore(store), journal_name(campaign))][:most]


def settle_in_store(
    store: ListedStore, campaign: str, recipient: str, settlement: Settlement, *, no_try_runs: bool = True
) -> str | None:
    """
    Write how an invite ended that was in doubt. No try of the task may be at work, as Airflow has it.

    :param store: of the task instance.
    :param campaign: whose journal it has.
    :param recipient: of the doubt.
    :param settlement: what is said of it.
    :param no_try_runs: nor may a worker still end what it had begun: claims that nobody ended are settled, too.
    :return: why it was not settled; None if it was.
    :raises LedgerError: the store cannot be read or written.
    """
    key = recipient.ljust(_KEY_DIGITS, "0")
    ledger = StateStoreLedger(store) if store.keys(_SINGLE + recipient) else StateStoreJournal(store, campaign)
    return ledger.settle([Claim(key, "")], {key: settlement}, no_try_runs=no_try_runs).get(key)


def _single_doubts(store: ListedStore) -> Iterator[StateDoubt]:
    checked = CheckedStore(store)
    for key in store.keys(_SINGLE):
        entry = Entry.from_json(checked.get(key))
        if entry.outcome in IN_DOUBT:
            yield StateDoubt(key.removeprefix(_SINGLE), reason_of(entry), entry.outcome is None, entry.at)


def _batch_doubts(store: CheckedStore, name: str) -> Iterator[StateDoubt]:
    """Give the doubts of a journal; see :meth:`StateStoreJournal.find`."""
    found: dict[bytes, Entry] = {}
    count = segment_count(store, name)
    for part in read_parts(store, name, count, SettledInvites(store, name, is_new=not count).blocks):
        if isinstance(part, Part):
            _take_in(found, part)
            continue
        for short in part.keys() & found.keys():
            if LETTERS[found[short].outcome] == part[short].letter:
                del found[short]
    for short, entry in found.items():
        yield StateDoubt(short.hex(), reason_of(entry), entry.outcome is None, entry.at)


def _take_in(found: dict[bytes, Entry], part: Part) -> None:
    """Take in the doubts among some invites. One keeps its reason while it is one: also when it was claimed again."""
    before = {short: found.pop(short) for short in part.shorts if short in found} if found else {}
    doubtful: dict[str, tuple[str, Reason | None]] = {
        LETTERS[outcome]: (LETTERS[outcome], None) for outcome in IN_DOUBT
    }
    doubtful |= {letter: each for letter, each in part.explained.items() if each[0] in doubtful}
    matches = list(re.finditer(f"[{''.join(doubtful)}]", part.letters))
    last = {short: place for place, short in enumerate(part.shorts)} if matches else {}
    for match in matches:
        short = part.shorts[match.start()]
        if last[short] == match.start():  # else it was claimed once more in the same value
            letter, reason = doubtful[match.group()]
            known = before[short].reason if short in before else None
            found[short] = Entry(OUTCOMES[letter], part.span[0], reason=reason or known)
