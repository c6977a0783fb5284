"""Whose number it is: one identity for each person, whichever of a mobile number's two forms is used."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import NewType

Identity = NewType("Identity", str)
"""The number by which a person is known."""


@dataclass(frozen=True, slots=True)
class _Change:
    """A change of a numbering plan that left two forms of one mobile number, in international format, digits only."""

    written: re.Pattern[str]
    same_as: str
    in_use: bool = False  # the first form still reaches the person, so it is sent as written


# Facts from the countries' regulators. By the first two digits, so that other numbers cost one look-up.
_CHANGES: dict[str, tuple[_Change, ...]] = {
    # Argentina: the 9 says "mobile" to callers from abroad; the whole number follows, and belongs to nobody else.
    "54": (_Change(re.compile(r"549(\d{10})"), r"54\1", in_use=True),),
    # Brazil put a 9 before all mobile numbers from 2012 to 2016. Those with a 7 were Nextel's, which went on without.
    "55": (
        _Change(re.compile(r"55(\d\d)([689]\d{7})"), r"55\g<1>9\2"),
        _Change(re.compile(r"55(\d\d)(7\d{7})"), r"55\g<1>9\2", in_use=True),
    ),
    # Mexico: until August 2019 mobiles had a 1 before them for callers from abroad, and 044, 045 or 01 inside.
    "52": (_Change(re.compile(r"52(?:1|01|044|045)(\d{10})"), r"52\1"),),
    # Chile dialled a 0 before the 9 of a mobile until 2016.
    "56": (_Change(re.compile(r"560(9\d{8})"), r"56\1"),),
    # France's overseas departments, whose numbers are dialled there like those of France, have country codes.
    "33": (
        _Change(re.compile(r"33(69[01]\d{6})"), r"590\1"),
        _Change(re.compile(r"33(69[23]\d{6})"), r"262\1"),
        _Change(re.compile(r"33(694\d{6})"), r"594\1"),
        _Change(re.compile(r"33(69[67]\d{6})"), r"596\1"),
    ),
    # Palestine's mobiles are reached by its own code and by Israel's.
    "97": (_Change(re.compile(r"972(5[69]\d{7})"), r"970\1", in_use=True),),
    # Gabon's seven digits have had a 0 before them since 2010, in some forms.
    "24": (_Change(re.compile(r"241([2-7]\d{6})"), r"2410\1", in_use=True),),
    # Benin put 01 before all numbers in November 2024.
    "22": (_Change(re.compile(r"229([2-9]\d{7})"), r"22901\1"),),
}

_NUMBER = re.compile(r"\+?(?:[\s().\-/]*[0-9]){6,}")
_NO_DIGIT = re.compile(r"[^0-9]")
_SHORTEST_NUMBER = 6


def identity_of(number: str) -> Identity:
    """Return the form of a number that identifies its owner for duplicates, opt-outs, ledger, caps and partitions."""
    for change in _CHANGES.get(number[:2], ()):
        if change.written.fullmatch(number):
            return Identity(change.written.sub(change.same_as, number))
    return Identity(number)


def in_use(number: str) -> str:
    """Return the number that reaches the person: as written, or today's form if the old one reaches nobody."""
    for change in _CHANGES.get(number[:2], ()):
        if not change.in_use and change.written.fullmatch(number):
            return change.written.sub(change.same_as, number)
    return number


def can_be(number: str, said: object) -> bool:
    """Return whether an answer can be about *number*: it names none, or the same number in any form."""
    text = str(said).strip()
    if isinstance(said, bool) or not _NUMBER.fullmatch(text):
        return True
    digits = _NO_DIGIT.sub("", text)
    if identity_of(digits.removeprefix("00")) == identity_of(number):
        return True
    national = digits.lstrip("0")  # without the country code
    return not text.startswith(("+", "00")) and len(national) >= _SHORTEST_NUMBER and number.endswith(national)


def recipient_key(campaign: str, number: str) -> str:
    """Return the :func:`identity_key` of a number in international format (digits only), in either of its writings."""
    return identity_key(campaign, identity_of(number))


def identity_key(campaign: str, identity: Identity) -> str:
    """
    Return the name under which a ledger knows a recipient: 32 hexadecimal digits, so that it stores no number.

    A hash of a phone number can be found again by trying all numbers; it is a pseudonym and not anonymous.
    """
    return hashlib.blake2b(f"{campaign}\n{identity}".encode(), digest_size=16).hexdigest()
