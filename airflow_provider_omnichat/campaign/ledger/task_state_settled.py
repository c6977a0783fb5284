"""
Doubts of a batch that were settled, in Airflow's task state store, beside the journal.

The journal has one writer, the running try. Whoever settles from outside, a person in a page, writes values of their
own: each says how far the journal reached when it was written, and what it had of the invites then. A settlement counts
only of invites that stood there with the same letter; what the journal has behind that place is newer.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from airflow_provider_omnichat.campaign.ledger.interface import LedgerError, Settlement
from airflow_provider_omnichat.campaign.ledger.task_state import CheckedStore

_MOST_BYTES = 60_000
"""Of one value, below the 65,535 that Airflow lets it have."""

_INVITE_BYTES = 30


class Place(NamedTuple):
    """
    How far the journal reached.

    :param segment: the last one, from 0.
    :param letters: how many invites of it there were.
    """

    segment: int
    letters: int


class Settled(NamedTuple):
    """
    One invite that was settled.

    :param letter: what the journal had of it.
    :param settlement: what was found.
    """

    letter: str
    settlement: Settlement


class SettledInvites:
    """
    What was settled in one journal, oldest first.

    :param store: the task state store.
    :param journal: the journal's name.
    :param is_new: whether the journal has nothing yet, and so nothing of it was settled.
    :raises LedgerError: it cannot be read.
    """

    def __init__(self, store: CheckedStore, journal: str, is_new: bool) -> None:
        self._store = store
        self._name = f"{journal}:settled"
        self._count: int = 0 if is_new else store.get(self._name) or 0
        self.blocks = [_read(store.get(f"{self._name}:{number}")) for number in range(self._count)]
        """Each with how far the journal reached when it was written, and the invites by hash."""

    def add(self, place: Place, invites: Mapping[bytes, Settled]) -> None:
        """
        Write what was settled; durable on return.

        :param place: how far the journal reaches.
        :param invites: by hash.
        """
        for groups in _parts(invites):
            # What is written and not counted yet is not there: then it is as much in doubt as before.
            self._store.set(f"{self._name}:{self._count}", {"after": list(place), "settled": groups})
            self._count += 1
            self._store.set(self._name, self._count)


def _parts(invites: Mapping[bytes, Settled]) -> Iterator[list[dict[str, Any]]]:
    """Give what fits into a value: invites with the same settlement together."""
    groups: dict[str, dict[str, Any]] = {}
    room = _MOST_BYTES
    for short, (letter, settlement) in invites.items():
        data = settlement.to_json()
        name = json.dumps(data)
        if room < len(name) + 2 * _INVITE_BYTES:
            yield list(groups.values())
            groups, room = {}, _MOST_BYTES
        if name not in groups:
            groups[name] = {**data, "invites": {}}
            room -= len(name) + _INVITE_BYTES
        groups[name]["invites"][b64encode(short).decode()] = letter
        room -= _INVITE_BYTES
    yield list(groups.values())


def _read(data: Any) -> tuple[Place, dict[bytes, Settled]]:
    try:
        found = {
            b64decode(short, validate=True): Settled(letter, settlement)
            for group in data["settled"]
            for settlement in [Settlement.from_json(group)]
            for short, letter in group["invites"].items()
        }
        return Place(*map(int, data["after"])), found
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise LedgerError("What was settled cannot be read in the task state store; nothing was sent") from error
