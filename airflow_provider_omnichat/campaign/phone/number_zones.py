"""Where the owner of a phone number may be, as time zones."""

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

from airflow_provider_omnichat.campaign.phone.country_codes import country_code_of
from airflow_provider_omnichat.campaign.phone.time_zones import known_zones

# What phonenumbers gives for these codes shows another time than the clocks there, for some of the year or all of it.
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


def zones_of(number: str) -> tuple[str, ...]:
    """
    Give the time zones in which the owner of a number may be.

    They are those of `phonenumbers.timezone.time_zones_for_number
    <https://github.com/daviddrysdale/python-phonenumbers>`_: one for most numbers, all of the country's for a mobile
    number that does not tell a region, all of the code's for a toll-free one. Beyond that:

    - A number that is possible but not (yet) in the numbering plan gets all zones of its country code, not none.
    - A mobile number of a country that shares its code with a larger one gets that country's zones, where its first
      digits tell the country: Jamaica's, not all 42 of +1; Kazakhstan's, not Russia's.
    - A few codes have the zones of the country where phonenumbers has another country's: +211, +212, +213, +218, +373,
      +505, +970, and Kaliningrad's part of +7.
    - Zones that this machine's tzdata does not know make the whole prefix one without zones: who cannot tell the time
      in one of them cannot tell that it is inside a window in all of them.

    :param number: in international format, digits only, as
        :func:`~airflow_provider_omnichat.campaign.phone.number.normalise_number` gives it.
    :return: IANA names, in a steady order; none for satellite phones, international toll-free numbers and the like.
    """
    code = country_code_of(number)
    if not code:
        return ()
    only = _only_zones().get(code)
    if only is not None:
        return only
    return _by_longest_prefix(number if _tells_place(int(code), number[len(code) :]) else code)


def _tells_place(code: int, national: str) -> bool:
    """Whether the first digits tell where the number is, by its kind."""
    if not national.isdecimal():
        return False
    # Not parsed again: `number` came out of the parser, and this takes a tenth of the time.
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
    # 25 ms and 7 MB on top of phonenumbers itself, hence not before it is needed.
    from phonenumbers.tzdata import TIMEZONE_DATA

    known = frozenset(known_zones().values())

    def right(prefix: str, zones: tuple[str, ...]) -> tuple[str, ...]:
        if prefix.startswith("7"):
            zones = tuple(sorted(_KALININGRAD.get(zone, zone) for zone in zones))
        return zones if known.issuperset(zones) else ()

    return {prefix: right(prefix, zones) for prefix, zones in (TIMEZONE_DATA | _CORRECTED).items()}


@lru_cache(maxsize=1)
def _only_zones() -> Mapping[str, tuple[str, ...]]:
    """Of the country codes all of whose numbers have the same zones, whatever their kind."""
    by_prefix = _zones_by_prefix()
    found: dict[str, set[tuple[str, ...]]] = {}
    for prefix, zones in by_prefix.items():
        found.setdefault(country_code_of(prefix), set()).add(zones)
    return {code: zones.pop() for code, zones in found.items() if len(zones) == 1 and code in by_prefix}
