"""One value of the journal: up to 4,000 invites, hashes and letters side by side, and why those in doubt are."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason
from airflow_provider_omnichat.campaign.ledger.interface import IN_DOUBT, Entry, LedgerError

SEGMENT_INVITES = 4000
"""Invites in one value: with them, and some reasons, it stays below the 65,535 bytes that Airflow lets a value have."""

_MOST_REASONS_BYTES = 7000
_LONGEST_REASON = 500

HASH_BYTES = 10
LETTERS: dict[Outcome | None, str] = {
    None: ".",
    Outcome.ACCEPTED: "a",
    Outcome.REJECTED: "r",
    Outcome.NOT_SENT: "n",
    Outcome.UNKNOWN: "u",
    Outcome.HELD: "h",
}
OUTCOMES = {letter: outcome for outcome, letter in LETTERS.items()}
DECIDED_LETTERS = frozenset(letter for outcome, letter in LETTERS.items() if outcome not in IN_DOUBT)
Span = tuple[datetime, datetime]
# Each stands for "unknown" for one of the reasons that a value has.
_REASON_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Segment:
    """Hashes and letters, side by side, and the reasons of doubts that letters stand for."""

    __slots__ = ("_room", "hashes", "key", "letters", "reasons", "span")

    def __init__(self, key: str) -> None:
        self.key = key
        self.hashes = bytearray()
        self.letters = bytearray()
        self.reasons: list[Reason] = []
        self.span: Span | None = None
        self._room = _MOST_REASONS_BYTES

    def letter_of(self, reason: Reason) -> str | None:
        """
        Give the letter of a doubt's reason; None where the value has no room for it.

        Without room for what became of it since, of the reason alone.
        """
        short = Reason(reason.code, _cut(reason.first), since=_cut(reason.since))
        for each in (short, short._replace(since="")):
            size = len(json.dumps(each.to_json())) + 2
            if each not in self.reasons and size <= self._room and len(self.reasons) < len(_REASON_LETTERS):
                self.reasons.append(each)
                self._room -= size
            if each in self.reasons:
                return _REASON_LETTERS[self.reasons.index(each)]
        return None

    def to_json(self) -> dict[str, Any]:
        """Give plain data for the store."""
        reasons = {"reasons": [reason.to_json() for reason in self.reasons]} if self.reasons else {}
        claimed = [moment.isoformat(timespec="seconds") for moment in self.span or ()]
        hashes, outcomes = b64encode(self.hashes).decode(), self.letters.decode()
        return {"hashes": hashes, "outcomes": outcomes, "claimed": claimed, **reasons}


def span_of(entries: Sequence[Entry]) -> Span:
    """Give when the first was claimed, at the earliest, and the last, at the latest."""
    return min(entry.claimed_at or entry.at for entry in entries), max(entry.at for entry in entries)


def read_segment(key: str, data: Any) -> tuple[list[bytes], str, dict[str, Reason], Span]:
    """Give hashes and letters, side by side, what the letters of reasons stand for, and when they were claimed."""
    try:
        begin, end = map(datetime.fromisoformat, data["claimed"])
        hashes, letters = b64decode(data["hashes"], validate=True), data["outcomes"]
        by_letter = dict(zip(_REASON_LETTERS, map(Reason.from_json, data.get("reasons", ())), strict=False))
        if len(hashes) != len(letters) * HASH_BYTES or not set(letters) <= {*OUTCOMES, *by_letter}:
            raise ValueError("hashes and outcomes do not match")
    except (KeyError, TypeError, ValueError) as error:
        raise LedgerError(f"Part {key} of the task state store's journal cannot be read; nothing was sent") from error
    return (
        [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)],
        letters,
        by_letter,
        (begin, end),
    )


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_REASON else text[: _LONGEST_REASON - 1] + "…"
