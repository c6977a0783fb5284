"""Which digits of a number are its country code, and whose code that is."""

from __future__ import annotations

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneNumber, region_code_for_number

NO_COUNTRY = "ZZ"
_LONGEST_CODE_DIGITS = 3


def country_code_of(digits: str) -> str:
    """
    Give the country code that digits begin with; nothing where there is no such code. No code begins with another.

    :param digits: in international format, without a plus.
    """
    for length in range(1, _LONGEST_CODE_DIGITS + 1):
        code = digits[:length]
        if code.isdecimal() and int(code) in COUNTRY_CODE_TO_REGION_CODE:
            return code
    return ""


def country_of(number: str) -> str:
    """
    Give the country of a number as two letters (ISO 3166).

    A number of no country has ``001``, and one whose country cannot be told ``ZZ``.

    :param number: in international format, digits only.
    """
    code = country_code_of(number)
    national = number[len(code) :]
    if not code:
        return NO_COUNTRY
    regions = COUNTRY_CODE_TO_REGION_CODE[int(code)]
    if len(regions) == 1:
        return str(regions[0])
    if not national.isdecimal():
        return NO_COUNTRY
    # Several countries share it, and the digits behind tell which.
    parsed = PhoneNumber(int(code), int(national), italian_leading_zero=national.startswith("0") or None)
    # One that is in no numbering plan (yet) counts for the main country of its code, which stands first.
    return str(region_code_for_number(parsed) or regions[0])
