"""Where a number is from: its country code, its country, and the time zones in which its owner may be."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from phonenumbers import (
    COUNTRY_CODE_TO_REGION_CODE,
    PhoneMetadata,
    PhoneNumber,
    PhoneNumberType,
    number_type,
    region_code_for_number,
)
from phonenumbers.phonenumberutil import is_number_type_geographical

from airflow_provider_omnichat.campaign.phone.time_zones import known_zones

NO_COUNTRY = "ZZ"
_LONGEST_CODE_DIGITS = 3
# For these codes, clocks show another time than in the zones of phonenumbers, for part of the year or all of it.
_CORRECTED = {
    "211": ("Africa/Juba",),  # South Sudan; phonenumbers: Africa/Nairobi
    "212": ("Africa/Casablanca",),  # Morocco, Western Sahara; phonenumbers: Atlantic/Canary
    "213": ("Africa/Algiers",),  # phonenumbers: Europe/Paris
    "218": ("Africa/Tripoli",),  # phonenumbers: Europe/Bucharest
    "373": ("Europe/Chisinau",),  # Moldova; older phonenumbers: Europe/Bucharest
    "505": ("America/Managua",),  # Nicaragua; phonenumbers: America/Chicago
    "7840": ("Europe/Moscow",),  # Abkhazia; phonenumbers: Europe/Bucharest
    "970": ("Asia/Gaza", "Asia/Hebron"),  # phonenumbers: Europe/Bucharest
}
_KALININGRAD = {"Europe/Bucharest": "Europe/Kaliningrad"}  # within +7


def country_code_of(digits: str) -> str:
    """Return the country code at the beginning of a number, or ``""``; no code is the beginning of another."""
    for length in range(1, _LONGEST_CODE_DIGITS + 1):
        code = digits[:length]
        if code.isdecimal() and int(code) in COUNTRY_CODE_TO_REGION_CODE:
            return code
    return ""


def country_of(number: str) -> str:
    """Return the country of a number as two letters (ISO 3166), ``001`` for international ones, ``ZZ`` if unknown."""
    code = country_code_of(number)
    national = number[len(code) :]
    if not code:
        return NO_COUNTRY
    regions = COUNTRY_CODE_TO_REGION_CODE[int(code)]
    if len(regions) == 1:
        return str(regions[0])
    if not national.isdecimal():
        return NO_COUNTRY
    # Several countries share the code; the digits after it decide.
    parsed = PhoneNumber(int(code), int(national), italian_leading_zero=national.startswith("0") or None)
    # A number in no numbering plan (yet) counts for the main country of its code, the first one.
    return str(region_code_for_number(parsed) or regions[0])


def zones_of(number: str) -> tuple[str, ...]:
    """
    Return the time zones (IANA names) in which the owner of a number may be; none for satellite phones, for example.

    They are those of `phonenumbers.timezone.time_zones_for_number
    <https://github.com/daviddrysdale/python-phonenumbers>`_: one for most numbers, all of the country's for a mobile
    number without a region, all of the code's for a toll-free one. With these differences:

    - A number that is possible but not (yet) in the numbering plan gets all zones of its country code, not none.
    - A mobile number of a country that shares its code with a larger one gets that country's zones if its first digits
      identify the country: Jamaica's, not all 42 of +1; Kazakhstan's, not Russia's.
    - A few codes get their own country's zones, where phonenumbers has another's: +211, +212, +213, +218, +373, +505,
      +970, and Kaliningrad's part of +7.
    """
    code = country_code_of(number)
    if not code:
        return ()
    only = _only_zones().get(code)
    if only is not None:
        return only
    return _by_longest_prefix(number if _tells_place(int(code), number[len(code) :]) else code)


def _tells_place(code: int, national: str) -> bool:
    """Return whether the digits after the code say where the owner is, which depends on the kind of number."""
    if not national.isdecimal():
        return False
    # Not parsed again: the digits came from the parser, and this takes a tenth of the time.
    zeros = len(national) - len(national.lstrip("0"))
    number = PhoneNumber(
        country_code=code,
        national_number=int(national),
        italian_leading_zero=bool(zeros) or None,
        number_of_leading_zeros=zeros if zeros > 1 else None,
    )
    kind = number_type(number)
    if kind != PhoneNumberType.MOBILE or is_number_type_geographical(kind, code):
        return is_number_type_geographical(kind, code)
    region = region_code_for_number(number)
    if region is None or region == COUNTRY_CODE_TO_REGION_CODE[code][0]:
        return False
    country = PhoneMetadata.metadata_for_region(region)
    # Digits that set this country apart from the others of its code.
    return country is not None and bool(country.leading_digits)


def _by_longest_prefix(number: str) -> tuple[str, ...]:
    zones = _zones_by_prefix()
    for length in range(len(number), 0, -1):
        found = zones.get(number[:length])
        if found is not None:
            return found
    return ()


@lru_cache(maxsize=1)
def _zones_by_prefix() -> Mapping[str, tuple[str, ...]]:
    # 25 ms and 7 MB on top of phonenumbers itself, so only when it is needed.
    from phonenumbers.tzdata import TIMEZONE_DATA

    known = frozenset(known_zones().values())

    def right(prefix: str, zones: tuple[str, ...]) -> tuple[str, ...]:
        if prefix.startswith("7"):
            zones = tuple(sorted(_KALININGRAD.get(zone, zone) for zone in zones))
        # A zone that this machine's tzdata does not know discards them all: without the time in one of them, nobody
        # can say that it is inside the window in all.
        return zones if known.issuperset(zones) else ()

    return {prefix: right(prefix, zones) for prefix, zones in (TIMEZONE_DATA | _CORRECTED).items()}


@lru_cache(maxsize=1)
def _only_zones() -> Mapping[str, tuple[str, ...]]:
    """Return the zones of country codes all of whose numbers have the same ones, whatever their kind."""
    by_prefix = _zones_by_prefix()
    found: dict[str, set[tuple[str, ...]]] = {}
    for prefix, zones in by_prefix.items():
        found.setdefault(country_code_of(prefix), set()).add(zones)
    return {code: zones.pop() for code, zones in found.items() if len(zones) == 1 and code in by_prefix}
