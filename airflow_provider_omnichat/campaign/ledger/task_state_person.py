"""Whose invite is in doubt, as the task state store keeps it: enough to look it up, and no whole number."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii
from typing import Any, NamedTuple, Self

from airflow_provider_omnichat.api.privacy import mask_number
from airflow_provider_omnichat.campaign.ledger.interface import Claim
from airflow_provider_omnichat.campaign.model.rows import shown_key

_LONGEST_KEY = 60
_TELLING_DIGITS = 6
_TIME_BYTES = 12
_PERSON_BYTES = 20  # without key, number and times


class Person(NamedTuple):
    """
    Whose invite is in doubt, for people, and when it may have been sent.

    :param key: the user's key of the row, if it has one; cut.
    :param number: masked; None in what an earlier version of the provider wrote.
    :param begin: when it was claimed, at the earliest; *end* at the latest.
    """

    key: str | None
    number: str | None
    begin: datetime
    end: datetime

    @classmethod
    def of(cls, claim: Claim, begin: datetime, end: datetime) -> Self:
        """Return what may be kept of a claim."""
        return cls(_kept_key(claim.key, claim.identity) if claim.key else None, mask_number(claim.identity), begin, end)

    @classmethod
    def from_json(cls, data: Sequence[Any]) -> Self:
        """Read what :meth:`to_json` returned."""
        key, number, *times = data
        return cls(key, number, *(datetime.fromtimestamp(times[at], UTC) for at in (0, -1)))

    def to_json(self) -> list[Any]:
        """Return plain data for the store."""
        begin, end = int(self.begin.timestamp()), int(self.end.timestamp())
        return [self.key, self.number, begin, *([end] if end != begin else [])]

    @property
    def size(self) -> int:
        """Bytes in a chunk."""
        times = _TIME_BYTES if self.begin == self.end else 2 * _TIME_BYTES
        key = len(encode_basestring_ascii(self.key)) if self.key else len("null")
        return _PERSON_BYTES + times + key + len(self.number or "null")


def _kept_key(key: str, identity: str) -> str | None:
    is_number = identity[-_TELLING_DIGITS:] in "".join(filter(str.isdigit, key))
    if not is_number and len(key) <= _LONGEST_KEY and key.isascii() and key.isprintable() and " " not in key:
        return key
    key = shown_key(key, identity) or ""
    return (key if len(key) <= _LONGEST_KEY else key[: _LONGEST_KEY - 1] + "…") or None
