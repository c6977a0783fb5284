"""Phone numbers as people write them, converted to the form that the vendor takes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberType, ValidationResult

from airflow_provider_omnichat.api.errors import InvalidInviteError
from airflow_provider_omnichat.api.identity import in_use
from airflow_provider_omnichat.api.reasons import ReasonCode
from airflow_provider_omnichat.campaign.phone.ready_number import AND_ANOTHER, ready_digits
from airflow_provider_omnichat.campaign.phone.written import invalid_number, more_than_one, plain_text

_WITH_PLUS = "write it like +41793026727"
_MOBILE = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE})
_WRONG_LENGTH = (ReasonCode.NUMBER_OF_WRONG_LENGTH, "not of a length")
_LENGTHS = {
    ValidationResult.TOO_SHORT: (ReasonCode.NUMBER_TOO_SHORT, "too short"),
    ValidationResult.TOO_LONG: (ReasonCode.NUMBER_TOO_LONG, "too long"),
    ValidationResult.INVALID_LENGTH: _WRONG_LENGTH,
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: (ReasonCode.NUMBER_TOO_SHORT, "too short"),
}
# The 0 of +41 (0)79 302 67 27, which is dialled inside the country only.
_OPTIONAL_ZERO = re.compile(r"(?<=[\d)\]])[ .-]*[(\[] ?0 ?[)\]]")
# Where a second number may begin, and the fewest digits of one.
_GAP = re.compile(r"(?<=\d)[ .()\[\]-]+(?=\d)")
_SHORTEST_NUMBER = 6
_AMBIGUOUS = ReasonCode.NUMBER_AMBIGUOUS
_FOREIGN = ReasonCode.NOT_A_NUMBER_OF_COUNTRY


def normalise_number(number: object, default_region: str | None = None, country: str | None = None) -> str:
    """
    Return a number in international format, digits only: ``41793026727``.

    It accepts ``+41 79 302 67 27``, ``0041793026727``, ``41793026727``, ``+41 (0)79 302 67 27``, whole numbers of any
    type (also the ``41793026727.0`` of a data frame, unless it looks rounded), and, with a country, the national
    ``079 302 67 27``.

    A text that can be read in two ways leading to two people is refused; nothing is guessed:

    - After a plus or 00 comes a country code.
    - Otherwise it is a number of *country*, never of another one; with *default_region*, it is another country's only
      if that region can have no such number.
    - Within a country, a reading as a mobile number wins (``4915123456789`` is not a landline of the German town with
      the area code 4915), and nothing is a landline that is a mobile number of another country.
    - Old writings of mobile numbers (Mexico's 1, Brazil's eight digits) are converted to today's.

    :param default_region: the country of numbers without a country code, as two letters (ISO 3166): ``CH``.
    :param country: the same for this number alone; takes precedence over *default_region*.
    :raises InvalidInviteError: it is not a possible number, or could be two; the error shows it masked.
    """
    region = checked_region(country or default_region)
    return ready_digits(number, region) or _parsed_digits(number, region, bool(country))


def checked_region(region: str | None) -> str | None:
    """Return a country's two letters (ISO 3166) in capitals; raise InvalidInviteError if there is no such country."""
    letters = (region or "").strip().upper()
    if not letters:
        return None
    if letters not in phonenumbers.SUPPORTED_REGIONS:
        hint = "; the United Kingdom is GB" if letters == "UK" else ""
        problem = f"is not a country; write two letters such as CH{hint}"
        raise InvalidInviteError.of("default_region", ReasonCode.UNKNOWN_COUNTRY, problem)
    return letters


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
        problem = f"has no country code; {_WITH_PLUS}, or give default_region"
        raise invalid_number(number, ReasonCode.NO_COUNTRY_CODE, problem)
    else:
        found = reading
    digits = _digits_of(_checked_length(found, number))
    if found.italian_leading_zero and _digits_of(_parse("+" + digits, number)) != digits:
        raise invalid_number(number, _FOREIGN, f"has more zeros than one behind its country code; {_WITH_PLUS}")
    return digits


def _ways_to_read(text: str) -> list[str]:
    """Return the digits after a plus, if any; with a zero in brackets, two readings, the one without it first."""
    plus = "+" if "+" in text else ""  # other separators decide nothing: (49) 171 1234567 is what 491711234567 is
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
    # A zero that is dialled inside the country and not part of the number: in brackets, or in Poland until 2010.
    without = ways[0] if len(ways) > 1 else f"+{found.country_code}{found.national_number}"
    read = [found, *(_parse(way, shown) for way in (*ways[1:], without))]
    valid = {_digits_of(number): number for number in read if phonenumbers.is_valid_number(number)}
    if len(valid) > 1:
        raise invalid_number(shown, _AMBIGUOUS, f"can be read in two ways, with the 0 and without; {_WITH_PLUS}")
    if not valid and len(ways) > 1 and len(set(map(_digits_of, read))) > 1:
        problem = f"is not a number of +{found.country_code}, with the 0 or without; {_WITH_PLUS}"
        raise invalid_number(shown, _FOREIGN, problem)
    return next(iter(valid.values()), found)


def _dialled_with_00(ways: Sequence[str], region: str | None, shown: object) -> PhoneNumber:
    """Read a number that begins with 00, which is not the international prefix everywhere: Thailand's is 001."""
    if region is None and ways[0].startswith("0011"):  # Australia's 0011; no number of +1 begins with a 1
        raise invalid_number(shown, _AMBIGUOUS, f"can be read in two ways; {_WITH_PLUS}")
    found = _of_country_code(["+" + way[2:] for way in ways], shown)
    if region is None or (phonenumbers.is_valid_number(found) and found.country_code == _code_of(region)):
        return found
    other = _try_parse(ways[0], region)
    if other is not None and phonenumbers.is_valid_number(other) and _digits_of(other) != _digits_of(found):
        raise invalid_number(shown, _AMBIGUOUS, f"can be read in two ways in {region}; {_WITH_PLUS}")
    return found


def _of_region(ways: Sequence[str], region: str, named: bool, shown: object) -> PhoneNumber:
    """Read a number without a country code; *named* if the region was given for this number alone."""
    read = _valid_of([way for text in ways for way in _inside(text, region)])
    own = [found for found in read.values() if found.country_code == _code_of(region)]
    mobile = [found for found in own if phonenumbers.number_type(found) in _MOBILE]
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
    possible = [
        found for text in ways if (found := _try_parse(text, region)) and phonenumbers.is_possible_number(found)
    ]
    if (own or possible) and foreign:
        problem = f"can be a number of {region} and one of +{foreign[0].country_code}; write it with a plus before it"
        raise invalid_number(shown, _AMBIGUOUS, problem)
    if own:
        return own[0]
    if foreign and not named:
        return foreign[0]
    if foreign:
        problem = f"is not a number of {region}; one of another country needs a plus and its country code before it"
        raise invalid_number(shown, _FOREIGN, problem)
    # Outside the country's numbering plan, only with the national prefix or the country code.
    read = {_digits_of(found): found for text in ways if (found := _written_out(text, region))}
    if len(read) == 1:
        return next(iter(read.values()))
    _checked_length(_parse(ways[0], shown, region), shown)
    raise invalid_number(shown, _FOREIGN, f"is not a number of {region}, perhaps without its area code; {_WITH_PLUS}")


def _inside(text: str, region: str) -> list[tuple[str, str]]:
    """Return the readings of a text inside a country, for the parser."""
    ways = [(text, region)]
    if text.startswith(str(_code_of(region))):
        ways.append(("+" + text, region))
    if not text.startswith("0") and phonenumbers.ndd_prefix_for_region(region, True) != "0":
        # A spreadsheet that took the number for a quantity has dropped the zeros that belong to it in Gabon or Italy.
        ways.append(("0" + text, region))
    return ways


def _written_out(text: str, region: str) -> PhoneNumber | None:
    """Return the possible number of a text that certainly has all its digits: 07700 900123, 447700900123."""
    dialled = phonenumbers.ndd_prefix_for_region(region, True)
    found = _try_parse(text, region)
    national = phonenumbers.national_significant_number(found) if found else ""
    if not dialled or text != dialled + national:
        found = _try_parse("+" + text) if text.startswith(str(_code_of(region))) else None
    return (
        found if found and found.country_code == _code_of(region) and phonenumbers.is_possible_number(found) else None
    )


def _is_of_another_region(number: PhoneNumber, region: str) -> bool:
    """Return whether a number with the region's country code is another region's: Jamaica's, for the region US."""
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[_code_of(region)]
    return len(regions) > 1 and phonenumbers.region_code_for_number(number) != region


def _refuse_two(text: str, region: str | None, shown: object) -> None:
    """Refuse two numbers that look like one, in a country whose numbers may have any length."""
    if AND_ANOTHER.search(text):
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


def _code_of(region: str) -> int:
    return int(phonenumbers.country_code_for_region(region))


def _parse(text: str, shown: object, region: str | None = None) -> PhoneNumber:
    """Parse digits, perhaps after a plus, as the number that is dialled today; the error shows *shown*, masked."""
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
    digits = _digits_of(number)
    today = in_use(digits)
    return number if today == digits else phonenumbers.parse("+" + today)


def _valid_of(ways: Iterable[tuple[str, str | None]]) -> dict[str, PhoneNumber]:
    found = (_try_parse(*way) for way in ways)
    return {_digits_of(number): number for number in found if number and phonenumbers.is_valid_number(number)}


def _checked_length(number: PhoneNumber, shown: object) -> PhoneNumber:
    """Return the number; raise InvalidInviteError if its country has no numbers of that length."""
    result = phonenumbers.is_possible_number_with_reason(number)
    if result == ValidationResult.IS_POSSIBLE:
        return number
    code, problem = _LENGTHS.get(result, _WRONG_LENGTH)
    raise invalid_number(shown, code, f"is {problem} for a number of +{number.country_code}")


def _digits_of(number: PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")
