"""Phone numbers as people write them, made into the form that the vendor takes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import phonenumbers
from phonenumbers import NumberParseException, PhoneMetadata, PhoneNumber, PhoneNumberType, ValidationResult

from airflow_provider_omnichat.api.errors import InvalidInviteError
from airflow_provider_omnichat.campaign.identity import in_use
from airflow_provider_omnichat.campaign.written_number import invalid_number, plain_text

# A number as most lists have it: international, nothing but digits, with spaces or dashes between them at most.
_INTERNATIONAL = re.compile(r"(\+|00)?([1-9](?:[ -]?[0-9]){6,14})")
_WITH_PLUS = "write it like +41793026727"
# Where a second number may begin: behind a separator, with the 0 that is dialled before a national number.
_NEXT_NUMBER = re.compile(r"(?<=\d)[ .()\[\]-]+(?=0)")
_SHORTEST_NUMBER = 6
_MOBILE = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE})
_TOO = {
    ValidationResult.TOO_SHORT: "too short",
    ValidationResult.TOO_LONG: "too long",
    ValidationResult.INVALID_LENGTH: "not of a length",
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "too short",
}


def normalise_number(number: object, default_region: str | None = None, country: str | None = None) -> str:
    """
    Give a number in international format, digits only: ``41793026727``.

    Taken are ``+41 79 302 67 27``, ``0041793026727``, ``41793026727``, ``+41 (0)79 302 67 27``, whole numbers of any
    type (also the ``41793026727.0`` of a data frame), and, with a country, the national ``079 302 67 27``.

    Where a text can be read in two ways that lead to two people, it is refused; nothing is guessed:

    - With a plus or 00 it is the number of the country code behind it.
    - Without, it is a number of *country*, and never another country's; with *default_region*, another country's only
      where that region can have no such number.
    - In its country it is the mobile number where one reading gives one (``4915123456789`` is no landline of the German
      town with the area code 4915), and no landline where it is a mobile number of another country.
    - What mobile numbers once had before them and have no more (Mexico's 1, Brazil's eight digits) is made today's
      number.

    :param number: as it was written.
    :param default_region: the country of numbers without a country code, as two letters (ISO 3166): ``CH``.
    :param country: the country that this number is of if it has no country code, said for this number alone; counts
        instead of *default_region*.
    :raises InvalidInviteError: when it is not a possible number, or could be two; the error shows it masked.
    """
    region = _check_region(country or default_region)
    return _ready_digits(number, region) or _parsed_digits(number, region, bool(country))


def _ready_digits(number: object, region: str | None) -> str | None:
    """
    Give the digits of a number that is international already and that parsing would leave as it is; else None.

    Parsing takes ten times as long as all else that is done for a row before it is sent.
    """
    if not isinstance(number, str) or not (found := _INTERNATIONAL.fullmatch(number)) or (region and found[1] != "+"):
        return None
    digits = found[2].replace(" ", "").replace("-", "")
    plan = _plan(digits[:3])
    return digits if plan and plan.leaves(digits) and in_use(digits) == digits else None


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


def _parsed_digits(number: object, region: str | None, named: bool) -> str:
    text = plain_text(number)
    if region:
        _refuse_two(text, region, number)
    if text.startswith("00"):
        found = _dialled_with_00(text, region, number)
    elif text.startswith("+"):
        found = _parse(text, number)
    elif region:
        found = _of_region(text, region, named, number)
    else:
        reading = _try_parse("+" + text)
        if text.startswith("0") or reading is None:
            raise invalid_number(number, f"has no country code; {_WITH_PLUS}, or give default_region")
        found = reading
    return _digits(_possible(found, number))


def _dialled_with_00(text: str, region: str | None, shown: object) -> PhoneNumber:
    """Read a number that begins with 00, which is not what is dialled for abroad everywhere: in Thailand it is 001."""
    found = _parse("+" + text[2:].lstrip(), shown)
    other = _try_parse(text, region) if region else None
    if other is not None and phonenumbers.is_valid_number(other) and _digits(other) != _digits(found):
        raise invalid_number(shown, f"can be read in two ways in {region}; {_WITH_PLUS}")
    return found


def _of_region(text: str, region: str, named: bool, shown: object) -> PhoneNumber:
    """
    Read a number without a country code.

    :param region: that it is of.
    :param named: whether that was said for this number alone.
    """
    code = phonenumbers.country_code_for_region(region)
    read = _readings_of(text, region, code)
    own = [found for found in read.values() if found.country_code == code]
    mobile = list(filter(_takes_sms, own))
    valid = mobile or list(filter(phonenumbers.is_valid_number, own))
    if len(valid) > 1:
        raise invalid_number(shown, f"can be read in two ways in {region}; {_WITH_PLUS}")
    if mobile:
        return mobile[0]
    # A number of another country without its plus, or dialled from this one.
    foreign = _possible_of("+" + text, None) or next((each for each in read.values() if each not in own), None)
    if foreign is None or foreign.country_code == code:
        return (valid or own or [_parse(text, shown, region)])[0]
    if own and phonenumbers.is_valid_number(foreign):
        raise invalid_number(
            shown, f"can be a number of {region} and one of +{foreign.country_code}; write it with a plus before it"
        )
    if not own and named:
        raise invalid_number(
            shown, f"is no number of {region}; one of another country needs a plus and its country code before it"
        )
    return (valid or own or [foreign])[0]


def _readings_of(text: str, region: str, code: int) -> dict[str, PhoneNumber]:
    """Give the possible numbers that a text is inside a country, by their digits."""
    ways = [(text, region)]
    if text.startswith(str(code)):
        ways.append(("+" + text, region))
    if not text.startswith("0") and phonenumbers.ndd_prefix_for_region(region, True) != "0":
        # A number that was calculated with has lost the zeros that belong to it in Gabon or Italy.
        ways.append(("0" + text, region))
    found = (_possible_of(*way) for way in ways)
    return {_digits(number): number for number in found if number is not None}


def _refuse_two(text: str, region: str, shown: object) -> None:
    """Refuse two numbers of a country whose numbers are of any length, so that both together look like one."""
    for gap in _NEXT_NUMBER.finditer(text):
        both = (text[: gap.start()], text[gap.end() :])
        if all(_is_whole(number, region) for number in both):
            raise invalid_number(shown, "is more than one plain number; give one number, without an extension")


def _is_whole(text: str, region: str) -> bool:
    if sum(character.isdigit() for character in text) < _SHORTEST_NUMBER:
        return False
    found = _try_parse(text, region)
    return found is not None and phonenumbers.is_valid_number(found)


def _check_region(region: str | None) -> str | None:
    if not region:
        return None
    if str(region).upper() not in phonenumbers.SUPPORTED_REGIONS:
        raise InvalidInviteError("is not a country; write two letters such as CH", "default_region")
    return region.upper()


def _parse(text: str, shown: object, region: str | None = None) -> PhoneNumber:
    try:
        return _today(phonenumbers.parse(text, region))
    except NumberParseException as error:
        problem = (
            "has no country code that exists"
            if error.error_type == NumberParseException.INVALID_COUNTRY_CODE
            else "is not a phone number"
        )
        raise invalid_number(shown, f"{problem}; {_WITH_PLUS}") from None


def _try_parse(text: str, region: str | None = None) -> PhoneNumber | None:
    try:
        return _today(phonenumbers.parse(text, region))
    except NumberParseException:
        return None


def _possible_of(text: str, region: str | None) -> PhoneNumber | None:
    found = None if text.startswith("+0") else _try_parse(text, region)
    return found if found is not None and phonenumbers.is_possible_number(found) else None


def _today(number: PhoneNumber) -> PhoneNumber:
    digits = _digits(number)
    today = in_use(digits)
    return number if today == digits else phonenumbers.parse("+" + today)


def _possible(number: PhoneNumber, shown: object) -> PhoneNumber:
    result = phonenumbers.is_possible_number_with_reason(number)
    if result == ValidationResult.IS_POSSIBLE:
        return number
    raise invalid_number(shown, f"is {_TOO.get(result, 'not possible')} for a number of +{number.country_code}")


def _takes_sms(number: PhoneNumber) -> bool:
    return phonenumbers.number_type(number) in _MOBILE


def _digits(number: PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")
