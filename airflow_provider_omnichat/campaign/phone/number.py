"""Phone numbers as people write them, made into the form that the vendor takes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import phonenumbers
from phonenumbers import NumberParseException, PhoneMetadata, PhoneNumber, PhoneNumberType, ValidationResult

from airflow_provider_omnichat.api.errors import InvalidInviteError
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.campaign.phone.country_codes import country_code_of
from airflow_provider_omnichat.campaign.phone.identity import in_use
from airflow_provider_omnichat.campaign.phone.written import invalid_number, more_than_one, plain_text

# A number as most lists have it: international, nothing but digits, with spaces or dashes between them at most.
_INTERNATIONAL = re.compile(r"(\+|00)?([1-9](?:[ -]?[0-9]){6,14})")
_WITH_PLUS = "write it like +41793026727"
# The 0 of +41 (0)79 302 67 27, which is dialled inside the country only.
_OPTIONAL_ZERO = re.compile(r"(?<=[\d)\]])[ .-]*[(\[] ?0 ?[)\]]")
# Where a second number may begin, and how many digits one has at least.
_GAP = re.compile(r"(?<=\d)[ .()\[\]-]+(?=\d)")
_SHORTEST_NUMBER = 6
# A number, and the end of another: 0664/1234567-68.
_AND_ANOTHER = re.compile(r"\d{6,} ?- ?\d{1,3}$")
# Beyond so many digits, a number with gaps may be two.
_MOST_DIGITS_WITH_GAPS = 12
_AMBIGUOUS = ReasonCode.NUMBER_AMBIGUOUS
_FOREIGN = ReasonCode.NOT_A_NUMBER_OF_COUNTRY
_MOBILE = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE})
_WRONG_LENGTH = (ReasonCode.NUMBER_OF_WRONG_LENGTH, "not of a length")
_LENGTHS = {
    ValidationResult.TOO_SHORT: (ReasonCode.NUMBER_TOO_SHORT, "too short"),
    ValidationResult.TOO_LONG: (ReasonCode.NUMBER_TOO_LONG, "too long"),
    ValidationResult.INVALID_LENGTH: _WRONG_LENGTH,
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: (ReasonCode.NUMBER_TOO_SHORT, "too short"),
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
    region = checked_region(country or default_region)
    return _ready_digits(number, region) or _parsed_digits(number, region, bool(country))


def _ready_digits(number: object, region: str | None) -> str | None:
    """
    Give the digits of a number that is international already and that parsing would leave as it is; else None.

    Parsing takes ten times as long as all else that is done for a row before it is sent.
    """
    if not isinstance(number, str) or not (found := _INTERNATIONAL.fullmatch(number)) or (region and found[1] != "+"):
        return None
    digits = found[2].replace(" ", "").replace("-", "")
    if len(digits) < len(found[2]) and (len(digits) > _MOST_DIGITS_WITH_GAPS or _AND_ANOTHER.search(number)):
        return None
    plan = _plan(digits[:3])
    return digits if plan and plan.leaves(digits) and in_use(digits) == digits else None


@dataclass(frozen=True, slots=True)
class _Plan:
    """
    What of a country's numbering plan decides whether a number stays as it is.

    :param code_length: digits of the country code.
    :param lengths: that a number can have, without the country code.
    :param pattern: of the numbers that there are; asked where one begins with a zero, which seldom belongs to it.
    :param prefix: what people dial before a number inside the country; parsing takes it away.
    """

    code_length: int
    lengths: frozenset[int]
    pattern: re.Pattern[str]
    prefix: re.Pattern[str] | None

    def leaves(self, digits: str) -> bool:
        """Tell whether parsing finds a possible number in these digits and changes none of them."""
        if len(digits) - self.code_length not in self.lengths:
            return False
        if digits[self.code_length] == "0" and not self.pattern.fullmatch(digits, self.code_length):
            return False
        dialled = self.prefix.match(digits, self.code_length) if self.prefix else None
        return dialled is None or (not dialled[0] and dialled.lastindex is None)


@cache
def _plan(first_three: str) -> _Plan | None:
    """Give the plan of the country whose code the three digits begin with; None where there is no such code."""
    code = country_code_of(first_three)
    if not code:
        return None
    region = phonenumbers.region_code_for_country_code(int(code))
    metadata = PhoneMetadata.metadata_for_region_or_calling_code(int(code), region)
    if metadata is None or (general := metadata.general_desc) is None:
        return None
    lengths = frozenset(general.possible_length).difference(general.possible_length_local_only)
    prefix = metadata.national_prefix_for_parsing
    pattern = re.compile(general.national_number_pattern or "")
    return _Plan(len(code), lengths, pattern, re.compile(prefix) if prefix else None)


def _parsed_digits(number: object, region: str | None, named: bool) -> str:
    text = plain_text(number)
    _refuse_two(text, region, number)
    ways = _ways_to_read(text)
    if ways[0].startswith("+"):
        found = _of_country_code(ways, number)
    elif ways[0].startswith("00"):
        found = _dialled_with_00(ways, region, number)
    elif region:
        found = _of_region(ways, region, named, number)
    elif ways[0].startswith("0") or (reading := _try_parse("+" + ways[0])) is None:
        raise invalid_number(
            number, ReasonCode.NO_COUNTRY_CODE, f"has no country code; {_WITH_PLUS}, or give default_region"
        )
    else:
        found = reading
    digits = _digits(_possible(found, number))
    if found.italian_leading_zero and _digits(_parse("+" + digits, number)) != digits:
        raise invalid_number(number, _FOREIGN, f"has more zeros than one behind its country code; {_WITH_PLUS}")
    return digits


def _ways_to_read(text: str) -> list[str]:
    """
    Give a plus, where there is one, and the digits; twice where a zero is in brackets, first without it.

    Separators decide nothing: ``(49) 171 1234567`` is what ``491711234567`` is.
    """
    plus = "+" if "+" in text else ""
    digits = "".join(filter(str.isdigit, text))
    optional = _OPTIONAL_ZERO.search(text)
    if optional is None:
        return [plus + digits]
    before = sum(map(str.isdigit, text[: optional.start()]))
    return [plus + digits[:before] + digits[before + 1 :], plus + digits]


def _of_country_code(ways: Sequence[str], shown: object) -> PhoneNumber:
    """Read a number with a plus before its country code."""
    found = _parse(ways[0], shown)
    if len(ways) == 1 and not (found.italian_leading_zero and not phonenumbers.is_valid_number(found)):
        return found
    # A zero that is dialled inside the country, where it is no part of a number: in brackets, or in Poland until 2010.
    without = ways[0] if len(ways) > 1 else f"+{found.country_code}{found.national_number}"
    read = [found, *(_parse(way, shown) for way in (*ways[1:], without))]
    valid = {_digits(number): number for number in read if phonenumbers.is_valid_number(number)}
    if len(valid) > 1:
        raise invalid_number(shown, _AMBIGUOUS, f"can be read in two ways, with the 0 and without; {_WITH_PLUS}")
    if not valid and len(ways) > 1 and len(set(map(_digits, read))) > 1:
        raise invalid_number(
            shown, _FOREIGN, f"is no number of +{found.country_code}, with the 0 or without; {_WITH_PLUS}"
        )
    return next(iter(valid.values()), found)


def _dialled_with_00(ways: Sequence[str], region: str | None, shown: object) -> PhoneNumber:
    """Read a number that begins with 00, which is not what is dialled for abroad everywhere: in Thailand it is 001."""
    if region is None and ways[0].startswith("0011"):  # Australia's 0011; no number of +1 begins with a 1
        raise invalid_number(shown, _AMBIGUOUS, f"can be read in two ways; {_WITH_PLUS}")
    found = _of_country_code(["+" + way[2:] for way in ways], shown)
    if region is None or (phonenumbers.is_valid_number(found) and found.country_code == _code_of(region)):
        return found
    other = _try_parse(ways[0], region)
    if other is not None and phonenumbers.is_valid_number(other) and _digits(other) != _digits(found):
        raise invalid_number(shown, _AMBIGUOUS, f"can be read in two ways in {region}; {_WITH_PLUS}")
    return found


def _of_region(ways: Sequence[str], region: str, named: bool, shown: object) -> PhoneNumber:
    """
    Read a number without a country code.

    What is not in the country's numbering plan is a reading only if it is written out, with what is dialled before a
    number there or with the country code.

    :param ways: digits.
    :param region: that it is of.
    :param named: whether that was said for this number alone.
    """
    read = _valid_of([way for text in ways for way in _inside(text, region)])
    own = [found for found in read.values() if found.country_code == _code_of(region)]
    mobile = list(filter(_takes_sms, own))
    if len(mobile or own) > 1:
        raise invalid_number(shown, _AMBIGUOUS, f"can be read in two ways in {region}; {_WITH_PLUS}")
    if mobile and (named or not _is_of_another_region(mobile[0], region)):
        return mobile[0]
    # A number of another country without its plus, or dialled from this one.
    foreign = [
        found
        for found in (*_valid_of([("+" + text, None) for text in ways]).values(), *read.values())
        if found.country_code != _code_of(region)
    ]
    possible = [found for text in ways if (found := _try_parse(text, region)) and _is_possible(found)]
    if (own or possible) and foreign:
        raise invalid_number(
            shown,
            _AMBIGUOUS,
            f"can be a number of {region} and one of +{foreign[0].country_code}; write it with a plus before it",
        )
    if own:
        return own[0]
    if foreign and not named:
        return foreign[0]
    if foreign:
        raise invalid_number(
            shown,
            _FOREIGN,
            f"is no number of {region}; one of another country needs a plus and its country code before it",
        )
    read = {_digits(found): found for text in ways if (found := _written_out(text, region))}
    if len(read) == 1:
        return next(iter(read.values()))
    _possible(_parse(ways[0], shown, region), shown)
    raise invalid_number(shown, _FOREIGN, f"is no number of {region}, perhaps for want of an area code; {_WITH_PLUS}")


def _inside(text: str, region: str) -> list[tuple[str, str]]:
    """Give what a text may be inside a country, for the parser."""
    ways = [(text, region)]
    if text.startswith(str(_code_of(region))):
        ways.append(("+" + text, region))
    if not text.startswith("0") and phonenumbers.ndd_prefix_for_region(region, True) != "0":
        # A number that was calculated with has lost the zeros that belong to it in Gabon or Italy.
        ways.append(("0" + text, region))
    return ways


def _written_out(text: str, region: str) -> PhoneNumber | None:
    """Give the possible number of a text that has all its digits for sure: 07700 900123, 447700900123."""
    dialled = phonenumbers.ndd_prefix_for_region(region, True)
    found = _try_parse(text, region)
    national = phonenumbers.national_significant_number(found) if found else ""
    if not dialled or text != dialled + national:
        found = _try_parse("+" + text) if text.startswith(str(_code_of(region))) else None
    return found if found and found.country_code == _code_of(region) and _is_possible(found) else None


def _is_of_another_region(number: PhoneNumber, region: str) -> bool:
    """Tell whether a number of the region's country code is another region's: Jamaica's, with the region US."""
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[_code_of(region)]
    return len(regions) > 1 and phonenumbers.region_code_for_number(number) != region


def _refuse_two(text: str, region: str | None, shown: object) -> None:
    """Refuse two numbers of a country whose numbers are of any length, so that both together look like one."""
    if _AND_ANOTHER.search(text):
        raise more_than_one(shown)
    gaps = [gap for gap in _GAP.finditer(text) if sum(map(str.isdigit, text[gap.end() :])) >= _SHORTEST_NUMBER]
    if not gaps or sum(map(str.isdigit, text)) < 2 * _SHORTEST_NUMBER:
        return
    if region is None:
        first = _try_parse("+" + "".join(filter(str.isdigit, text)).removeprefix("00"))
        code = first.country_code if first else None
        region = phonenumbers.region_code_for_country_code(code) if code else None
    for gap in gaps:
        if all(_is_whole(number, region) for number in (text[: gap.start()], text[gap.end() :])):
            raise more_than_one(shown)


def _is_whole(text: str, region: str | None) -> bool:
    if sum(map(str.isdigit, text)) < _SHORTEST_NUMBER:
        return False
    found = _try_parse(text, region)
    return found is not None and phonenumbers.is_valid_number(found)


def checked_region(region: str | None) -> str | None:
    """
    Give a country in capitals; None where none is given.

    :param region: two letters (ISO 3166).
    :raises InvalidInviteError: when there is no such country.
    """
    letters = (region or "").strip().upper()
    if not letters:
        return None
    if letters not in phonenumbers.SUPPORTED_REGIONS:
        hint = "; the United Kingdom is GB" if letters == "UK" else ""
        raise InvalidInviteError(
            Reason(
                ReasonCode.UNKNOWN_COUNTRY,
                f"is not a country; write two letters such as CH{hint}",
                field="default_region",
            )
        )
    return letters


def _code_of(region: str) -> int:
    return int(phonenumbers.country_code_for_region(region))


def _parse(text: str, shown: object, region: str | None = None) -> PhoneNumber:
    try:
        return _today(phonenumbers.parse(text, region))
    except NumberParseException as error:
        code, problem = (
            (ReasonCode.UNKNOWN_COUNTRY_CODE, "has no country code that exists")
            if error.error_type == NumberParseException.INVALID_COUNTRY_CODE
            else (ReasonCode.NOT_A_NUMBER, "is not a phone number")
        )
        raise invalid_number(shown, code, f"{problem}; {_WITH_PLUS}") from None


def _try_parse(text: str, region: str | None = None) -> PhoneNumber | None:
    if text.startswith("+0"):
        return None
    try:
        return _today(phonenumbers.parse(text, region))
    except NumberParseException:
        return None


def _today(number: PhoneNumber) -> PhoneNumber:
    digits = _digits(number)
    today = in_use(digits)
    return number if today == digits else phonenumbers.parse("+" + today)


def _valid_of(ways: Iterable[tuple[str, str | None]]) -> dict[str, PhoneNumber]:
    """Give the valid numbers that texts can be, by their digits."""
    found = (_try_parse(*way) for way in ways)
    return {_digits(number): number for number in found if number and phonenumbers.is_valid_number(number)}


def _possible(number: PhoneNumber, shown: object) -> PhoneNumber:
    result = phonenumbers.is_possible_number_with_reason(number)
    if result == ValidationResult.IS_POSSIBLE:
        return number
    code, problem = _LENGTHS.get(result, _WRONG_LENGTH)
    raise invalid_number(shown, code, f"is {problem} for a number of +{number.country_code}")


def _is_possible(number: PhoneNumber) -> bool:
    return bool(phonenumbers.is_possible_number(number))


def _takes_sms(number: PhoneNumber) -> bool:
    return phonenumbers.number_type(number) in _MOBILE


def _digits(number: PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")
