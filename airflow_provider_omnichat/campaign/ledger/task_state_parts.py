"""
A journal in the order in which it was written: claims and how they ended, and between them what was settled.

Whoever reads one reads it by this, so that a task and a person who looks from outside cannot differ about it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from airflow_provider_omnichat.campaign.ledger.interface import LedgerError
from airflow_provider_omnichat.campaign.ledger.task_state import CheckedStore
from airflow_provider_omnichat.campaign.ledger.task_state_segment import Explained, Span, read_segment
from airflow_provider_omnichat.campaign.ledger.task_state_settled import Place, Settled


class Part(NamedTuple):
    """
    Some invites of one value; of the same invite the last one counts.

    :param number: of the value, from 0.
    :param shorts: the invites, by hash.
    :param letters: how each ended.
    :param explained: what some of the letters stand for.
    :param span: when they were claimed.
    """

    number: int
    shorts: Sequence[bytes]
    letters: str
    explained: Explained
    span: Span


def segment_count(store: CheckedStore, name: str) -> int:
    """
    Give how many values a journal has.

    :param store: the task state store.
    :param name: the journal's name.
    :raises LedgerError: it holds something else.
    """
    count = store.get(f"{name}:count") or 0
    if not isinstance(count, int):
        raise LedgerError("The task state store holds something else than this batch's journal; nothing was sent")
    return count


def read_parts(
    store: CheckedStore, name: str, count: int, blocks: Sequence[tuple[Place, Mapping[bytes, Settled]]]
) -> Iterator[Part | Mapping[bytes, Settled]]:
    """
    Give a journal, a value at a time, and where it stands what was settled of invites that had the same letter then.

    :param store: the task state store.
    :param name: the journal's name.
    :param count: how many values it has.
    :param blocks: what was settled, the oldest first.
    :raises LedgerError: it cannot be read.
    """
    later = list(blocks)
    for number in range(count):
        key = f"{name}:{number}"
        data = store.get(key)
        if data is None and number == count - 1:
            break  # a crash between counting it and writing it: nothing of it was sent, and its place is free
        shorts, letters, explained, span = read_segment(key, data)
        begin = 0
        while later and later[0][0].segment == number:
            place, settled = later.pop(0)
            yield Part(number, shorts[begin : place.letters], letters[begin : place.letters], explained, span)
            yield settled
            begin = place.letters
        yield Part(number, shorts[begin:], letters[begin:], explained, span)
    yield from (settled for _, settled in later)
