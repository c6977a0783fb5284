"""What the library for phone numbers is asked, and what its answers mean here."""

from __future__ import annotations

from collections.abc import Iterable

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberType, ValidationResult

from airflow_provider_omnichat.api.reasons import ReasonCode
from airflow_provider_omnichat.campaign.phone.identity import in_use
from airflow_provider_omnichat.campaign.phone.written import invalid_number

WITH_PLUS = "write it like +41793026727"
"""What to do about a number that cannot be read."""

_MOBILE = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE})
_WRONG_LENGTH = (ReasonCode.NUMBER_OF_WRONG_LENGTH, "not of a length")
_LENGTHS = {
    ValidationResult.TOO_SHORT: (ReasonCode.NUMBER_TOO_SHORT, "too short"),
    ValidationResult.TOO_LONG: (ReasonCode.NUMBER_TOO_LONG, "too long"),
    ValidationResult.INVALID_LENGTH: _WRONG_LENGTH,
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: (ReasonCode.NUMBER_TOO_SHORT, "too short"),
}


def code_of(region: str) -> int:
    """Give the country code of a region."""
    return int(phonenumbers.country_code_for_region(region))


def parse(text: str, shown: object, region: str | None = None) -> PhoneNumber:
    """
    Read a number, as it is dialled today.

    :param text: a plus and digits, or digits.
    :param shown: as it was written, for the error.
    :param region: that it is of without a plus.
    :raises InvalidInviteError: it is none.
    """
    try:
        return _today(phonenumbers.parse(text, region))
    except NumberParseException as error:
        code, problem = (
            (ReasonCode.UNKNOWN_COUNTRY_CODE, "has no country code that exists")
            if error.error_type == NumberParseException.INVALID_COUNTRY_CODE
            else (ReasonCode.NOT_A_NUMBER, "is not a phone number")
        )
        raise invalid_number(shown, code, f"{problem}; {WITH_PLUS}") from None


def try_parse(text: str, region: str | None = None) -> PhoneNumber | None:
    """Read a number, as it is dialled today; None where it is none."""
    if text.startswith("+0"):
        return None
    try:
        return _today(phonenumbers.parse(text, region))
    except NumberParseException:
        return None


def _today(number: PhoneNumber) -> PhoneNumber:
    digits = digits_of(number)
    today = in_use(digits)
    return number if today == digits else phonenumbers.parse("+" + today)


def valid_of(ways: Iterable[tuple[str, str | None]]) -> dict[str, PhoneNumber]:
    """Give the valid numbers that texts can be, by their digits."""
    found = (try_parse(*way) for way in ways)
    return {digits_of(number): number for number in found if number and phonenumbers.is_valid_number(number)}


def checked_length(number: PhoneNumber, shown: object) -> PhoneNumber:
    """
    Give the number.

    :raises InvalidInviteError: it is of no length that its country has.
    """
    result = phonenumbers.is_possible_number_with_reason(number)
    if result == ValidationResult.IS_POSSIBLE:
        return number
    code, problem = _LENGTHS.get(result, _WRONG_LENGTH)
    raise invalid_number(shown, code, f"is {problem} for a number of +{number.country_code}")


def is_possible(number: PhoneNumber) -> bool:
    """Tell whether a number is of a length that its country has."""
    return bool(phonenumbers.is_possible_number(number))


def takes_sms(number: PhoneNumber) -> bool:
    """Tell whether a number is a mobile one, or may be."""
    return phonenumbers.number_type(number) in _MOBILE


def digits_of(number: PhoneNumber) -> str:
    """Give a number in international format, digits only."""
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")
