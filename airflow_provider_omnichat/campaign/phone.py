"""Phone numbers as people write them, made into the form that the vendor takes."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

import phonenumbers
from phonenumbers import NumberParseException, PhoneMetadata, PhoneNumber, PhoneNumberType, ValidationResult

from airflow_provider_omnichat.api.errors import InvalidInviteError
from airflow_provider_omnichat.api.privacy import mask_number
from airflow_provider_omnichat.campaign.missing import is_missing

_LONGEST_INPUT = 40
# A number as most lists have it: international, nothing but digits, with spaces or dashes between them at most.
_INTERNATIONAL = re.compile(r"(\+|00)?([1-9](?:[ -]?[0-9]){6,14})")
# What belongs before the first digit: a plus (also a wide one) and brackets. The parser would pass over all else.
_BEGINNING = re.compile(r"[(\[\uff08\uff3b\s]*[+\uff0b]?[(\[\uff08\uff3b\s]*([^\d]?)")
_APOSTROPHES = ("'", "\u2019")
_MOBILE = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE})
_TOO = {
    ValidationResult.TOO_SHORT: "too short",
    ValidationResult.TOO_LONG: "too long",
    ValidationResult.INVALID_LENGTH: "not of a length",
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "too short",
}


def normalise_number(number: object, default_region: str | None = None) -> str:
    """
    Give a number in international format, digits only: ``41793026727``.

    Taken are ``+41 79 302 67 27``, ``0041793026727``, ``41793026727``, ``+41 (0)79 302 67 27``, an ``int``, a whole
    ``Decimal``, and, with *default_region*, the national ``079 302 67 27``. Where digits without a plus could be both a
    national and an international number, the one that is a mobile number wins (``4915123456789`` is no landline of the
    German town with the area code 4915), and the national one where both are or neither is, because the region was
    given on purpose.

    An apostrophe before the number is left out: spreadsheets and exports for them write it to say that what follows is
    a text. Anything else before the first digit, such as the minus or equals sign of a formula, makes it no number:
    what follows may be what the formula came to.

    :param number: as it was written.
    :param default_region: the country of numbers without a country code, as two letters (ISO 3166): ``CH``.
    :raises InvalidInviteError: when it is not a possible number; the error shows it masked.
    """
    region = _check_region(default_region)
    digits = _ready_digits(number, region)
    return digits if digits else _parsed_digits(number, region)


def _ready_digits(number: object, region: str | None) -> str | None:
    """
    Give the digits of a number that is international already and that parsing would leave as it is; else None.

    Parsing takes ten times as long as all else that is done for a row before it is sent.
    """
    if not isinstance(number, str) or not (found := _INTERNATIONAL.fullmatch(number)) or (region and not found[1]):
        return None
    digits = found[2].replace(" ", "").replace("-", "")
    plan = _plan(digits[:3])
    return digits if plan and plan.leaves(digits) else None


@dataclass(frozen=True, slots=True)
class _Plan:
    """
    What of a country's numbering plan decides whether a number stays as it is.

    :param code_length: digits of the country code.
    :param lengths: that a number can have, without the country code.
    :param prefix: what people dial before a number inside the country; parsing takes it away.
    """

    code_length: int
    lengths: frozenset[int]
    prefix: re.Pattern[str] | None

    def leaves(self, digits: str) -> bool:
        """Tell whether parsing finds a possible number in these digits and changes none of them."""
        if len(digits) - self.code_length not in self.lengths:
            return False
        dialled = self.prefix.match(digits, self.code_length) if self.prefix else None
        return dialled is None or (not dialled[0] and dialled.lastindex is None)


@cache
def _plan(first_three: str) -> _Plan | None:
    """Give the plan of the country whose code the three digits begin with; None where there is no such code."""
    for length in (1, 2, 3):
        code = int(first_three[:length])
        region = phonenumbers.region_code_for_country_code(code)
        metadata = PhoneMetadata.metadata_for_region_or_calling_code(code, region)
        if metadata is not None and (general := metadata.general_desc) is not None:
            lengths = frozenset(general.possible_length).difference(general.possible_length_local_only)
            prefix = metadata.national_prefix_for_parsing
            return _Plan(length, lengths, re.compile(prefix) if prefix else None)
    return None


def _parsed_digits(number: object, region: str | None) -> str:
    text = _as_text(number)
    if text.startswith("00"):
        text = "+" + text[2:].lstrip()
    if text.startswith("+"):
        return _digits(_possible(_parse(text, None, number), number))
    national = _try_parse(text, region) if region else None
    international = _try_parse("+" + text, None)
    readings = [reading for reading in (national, international) if reading and phonenumbers.is_valid_number(reading)]
    if readings:
        return _digits(next(filter(_takes_sms, readings), readings[0]))
    if national:
        return _digits(_possible(national, number))
    if text.startswith("0") or international is None:
        raise _invalid(number, "has no country code; write it like +41793026727, or give default_region")
    return _digits(_possible(international, number))


def _check_region(region: str | None) -> str | None:
    if not region:
        return None
    if str(region).upper() not in phonenumbers.SUPPORTED_REGIONS:
        raise InvalidInviteError("is not a country; write two letters such as CH", "default_region")
    return region.upper()


def _as_text(number: object) -> str:
    if is_missing(number):
        raise InvalidInviteError("is missing", "to")
    if isinstance(number, bool | float):
        raise InvalidInviteError(
            f"is a {type(number).__name__}; read the column as text, so that no digit is lost", "to"
        )
    # What a database has in a NUMERIC column: exact, unlike a float.
    if isinstance(number, Decimal) and number.is_finite() and 0 <= number.adjusted() < _LONGEST_INPUT:
        number = int(number) if number == int(number) else number
    if isinstance(number, int):
        number = str(number)
    if not isinstance(number, str):
        raise InvalidInviteError(f"must be one phone number as a text, is a {type(number).__name__}", "to")
    # Numbers copied from documents and address books come with spaces of all kinds and marks that nobody sees.
    text = "".join(" " if c.isspace() else c for c in number if unicodedata.category(c) != "Cf").strip()
    if text[:1] in _APOSTROPHES:
        text = text[1:].lstrip()
    if not text:
        raise InvalidInviteError("is blank", "to")
    if len(text) > _LONGEST_INPUT:
        raise InvalidInviteError(f"is not a phone number: {len(text)} characters; give one number only", "to")
    if any(character.isalpha() for character in text):
        raise _invalid(number, "has letters in it; only digits, a plus and separators are taken")
    if (beginning := _BEGINNING.match(text)) and beginning[1]:
        raise _invalid(number, f"has {beginning[1]!r} before its first digit; write it like +41793026727")
    if any(character in ",;/#*" for character in text) or "+" in text[1:]:
        raise _invalid(number, "is more than one plain number; give one number, without an extension")
    return text


def _try_parse(text: str, region: str | None) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(text, region)
    except NumberParseException:
        return None


def _parse(text: str, region: str | None, shown: object) -> PhoneNumber:
    try:
        return phonenumbers.parse(text, region)
    except NumberParseException as error:
        problem = (
            "has no country code that exists"
            if error.error_type == NumberParseException.INVALID_COUNTRY_CODE
            else "is not a phone number"
        )
        raise _invalid(shown, f"{problem}; write it like +41793026727") from None


def _possible(number: PhoneNumber, shown: object) -> PhoneNumber:
    result = phonenumbers.is_possible_number_with_reason(number)
    if result == ValidationResult.IS_POSSIBLE:
        return number
    raise _invalid(shown, f"is {_TOO.get(result, 'not possible')} for a number of +{number.country_code}")


def _takes_sms(number: PhoneNumber) -> bool:
    return phonenumbers.number_type(number) in _MOBILE


def _digits(number: PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")


def _invalid(number: object, problem: str) -> InvalidInviteError:
    return InvalidInviteError(f"{mask_number(number)} {problem}", "to")
