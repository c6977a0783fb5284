"""
One value of the journal: up to 4,000 invites, hashes and letters side by side.

Why invites are in doubt or were rejected is written once for all of a value that have the same reason.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason
from airflow_provider_omnichat.campaign.ledger.interface import IN_DOUBT, Entry, LedgerError

SEGMENT_INVITES = 4000
"""Invites in one value: with them, and some reasons, it stays below the 65,535 bytes that Airflow lets a value have."""

_MOST_REASONS_BYTES = 7000
# Of the letters below, so that the vendor's many refusals leave room for doubts.
_MOST_REFUSALS = 10
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
Explained = Mapping[str, tuple[str, Reason]]
"""What letters stand for: the letter of an outcome, and a reason."""
# Each stands for "unknown" or "rejected" for one of the reasons that a value has.
_REASON_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Segment:
    """Hashes and letters, side by side, and the reasons of doubts and refusals that letters stand for."""

    __slots__ = ("_room", "hashes", "is_written", "key", "letters", "reasons", "span")

    def __init__(self, key: str) -> None:
        self.key = key
        self.is_written = False
        self.hashes = bytearray()
        self.letters = bytearray()
        self.reasons: list[tuple[Outcome, Reason]] = []
        self.span: Span | None = None
        self._room = _MOST_REASONS_BYTES

    def letter_of(self, outcome: Outcome | None, reason: Reason) -> str | None:
        """
        Give the letter of a doubt's or a refusal's reason; None for other outcomes, and where there is no room for it.

        Without room for what became of a doubt since, of the reason alone.
        """
        if outcome is not Outcome.UNKNOWN and outcome is not Outcome.REJECTED:
            return None
        short = Reason(reason.code, _cut(reason.first), since=_cut(reason.since), status=_cut(reason.status))
        for kept in (short, short._replace(since="")):
            each = (outcome, kept)
            size = len(json.dumps(_reason_json(*each))) + 2
            if each not in self.reasons and size <= self._room and self._has_letter(outcome):
                self.reasons.append(each)
                self._room -= size
            if each in self.reasons:
                return _REASON_LETTERS[self.reasons.index(each)]
        return None

    def _has_letter(self, outcome: Outcome) -> bool:
        refusals = sum(kind is Outcome.REJECTED for kind, _ in self.reasons)
        is_full = outcome is Outcome.REJECTED and refusals >= _MOST_REFUSALS
        return not is_full and len(self.reasons) < len(_REASON_LETTERS)

    def to_json(self) -> dict[str, Any]:
        """Give plain data for the store."""
        reasons = {"reasons": [_reason_json(*each) for each in self.reasons]} if self.reasons else {}
        claimed = [moment.isoformat(timespec="seconds") for moment in self.span or ()]
        hashes, outcomes = b64encode(self.hashes).decode(), self.letters.decode()
        return {"hashes": hashes, "outcomes": outcomes, "claimed": claimed, **reasons}


def span_of(entries: Sequence[Entry]) -> Span:
    """Give when the first was claimed, at the earliest, and the last, at the latest."""
    return min(entry.claimed_at or entry.at for entry in entries), max(entry.at for entry in entries)


def read_segment(key: str, data: Any) -> tuple[list[bytes], str, Explained, Span]:
    """
    Give hashes and letters, side by side, what some letters stand for, and when they were claimed.

    :param key: of the value, for the error.
    :param data: what :meth:`Segment.to_json` gave.
    :raises LedgerError: it is something else.
    """
    try:
        begin, end = map(datetime.fromisoformat, data["claimed"])
        hashes, letters = b64decode(data["hashes"], validate=True), data["outcomes"]
        explained = {
            letter: (LETTERS[Outcome(each["outcome"])], Reason.from_json(each))
            for letter, each in zip(_REASON_LETTERS, data.get("reasons", ()), strict=False)
        }
        if len(hashes) != len(letters) * HASH_BYTES or not set(letters) <= {*OUTCOMES, *explained}:
            raise ValueError("hashes and outcomes do not match")
    except (KeyError, TypeError, ValueError) as error:
        raise LedgerError(f"Part {key} of the task state store's journal cannot be read; nothing was sent") from error
    shorts = [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]
    return shorts, letters, explained, (begin, end)


def journal_name(campaign: str) -> str:
    """
    Give what the keys of a campaign's journal begin with.

    :param campaign: its name.
    """
    return "omnichat:batch:" + hashlib.blake2b(campaign.encode(), digest_size=8).hexdigest()


def _reason_json(outcome: Outcome, reason: Reason) -> dict[str, str]:
    return {"outcome": outcome.value, **reason.to_json()}


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_REASON else text[: _LONGEST_REASON - 1] + "…"
