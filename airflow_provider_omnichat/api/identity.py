"""Whose number it is: one identity for each person, in whichever of a mobile's two writings their number comes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NewType

Identity = NewType("Identity", str)
"""The number by which a person is known."""


@dataclass(frozen=True, slots=True)
class _Change:
    """
    A change of a numbering plan that left people with two writings of one mobile number.

    :param written: the one writing, in international format, digits only.
    :param same_as: the other.
    :param in_use: both are: what is sent stays what was written. Else the first one reaches nobody any more.
    """

    written: re.Pattern[str]
    same_as: str
    in_use: bool = False


# Facts from the countries' regulators. By the first two digits, so that other numbers are done with at once.
_CHANGES: dict[str, tuple[_Change, ...]] = {
    # Argentina: the 9 says "mobile" to callers from abroad; behind it stands the whole number, which is nobody else's.
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
    # France's overseas departments, dialled from there as one of France's numbers, have codes of their own.
    "33": (
        _Change(re.compile(r"33(69[01]\d{6})"), r"590\1"),
        _Change(re.compile(r"33(69[23]\d{6})"), r"262\1"),
        _Change(re.compile(r"33(694\d{6})"), r"594\1"),
        _Change(re.compile(r"33(69[67]\d{6})"), r"596\1"),
    ),
    # Palestine's mobiles are reached by its own code and by Israel's.
    "97": (_Change(re.compile(r"972(5[69]\d{7})"), r"970\1", in_use=True),),
    # Gabon's seven digits have had a 0 before them since 2010, in some writings.
    "24": (_Change(re.compile(r"241([2-7]\d{6})"), r"2410\1", in_use=True),),
    # Benin put 01 before all numbers in November 2024.
    "22": (_Change(re.compile(r"229([2-9]\d{7})"), r"22901\1"),),
}

_NUMBER = re.compile(r"\+?(?:[\s().\-/]*[0-9]){6,}")
_NO_DIGIT = re.compile(r"[^0-9]")
_SHORTEST_NUMBER = 6


def identity_of(number: str) -> Identity:
    """
    Give the number by which a person is known: for duplicates, the opt-out list, the ledger, caps and partitions.

    :param number: in international format, digits only.
    :return: the same, or the other writing of the same mobile: with and without Argentina's 9, Brazil's ninth digit,
        Mexico's old 1.
    """
    changes = _CHANGES.get(number[:2])
    if changes is None:
        return Identity(number)
    for change in changes:
        if change.written.fullmatch(number):
            return Identity(change.written.sub(change.same_as, number))
    return Identity(number)


def in_use(number: str) -> str:
    """
    Give the number that reaches the person: what was written, or today's writing where the old one reaches nobody.

    :param number: in international format, digits only.
    """
    changes = _CHANGES.get(number[:2])
    if changes is None:
        return number
    for change in changes:
        if not change.in_use and change.written.fullmatch(number):
            return change.written.sub(change.same_as, number)
    return number


def can_be(number: str, said: object) -> bool:
    """
    Tell whether an answer can be about a number: it says none, or the same in whichever writing.

    :param number: in international format, digits only.
    :param said: what the answer gives for the number.
    """
    text = str(said).strip()
    if isinstance(said, bool) or not _NUMBER.fullmatch(text):
        return True
    digits = _NO_DIGIT.sub("", text)
    if identity_of(digits.removeprefix("00")) == identity_of(number):
        return True
    national = digits.lstrip("0")  # without the country code
    return not text.startswith(("+", "00")) and len(national) >= _SHORTEST_NUMBER and number.endswith(national)
