"""Phone numbers as people write them, made into the form that the vendor takes."""

from __future__ import annotations

import re
from collections.abc import Sequence

import phonenumbers
from phonenumbers import PhoneNumber

from airflow_provider_omnichat.api.errors import InvalidInviteError
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.campaign.phone.parsing import (
    WITH_PLUS,
    checked_length,
    code_of,
    digits_of,
    is_possible,
    parse,
    takes_sms,
    try_parse,
    valid_of,
)
from airflow_provider_omnichat.campaign.phone.ready_number import AND_ANOTHER, ready_digits
from airflow_provider_omnichat.campaign.phone.written import invalid_number, more_than_one, plain_text

# The 0 of +41 (0)79 302 67 27, which is dialled inside the country only.
_OPTIONAL_ZERO = re.compile(r"(?<=[\d)\]])[ .-]*[(\[] ?0 ?[)\]]")
# Where a second number may begin, and how many digits one has at least.
_GAP = re.compile(r"(?<=\d)[ .()\[\]-]+(?=\d)")
_SHORTEST_NUMBER = 6
_AMBIGUOUS = ReasonCode.NUMBER_AMBIGUOUS
_FOREIGN = ReasonCode.NOT_A_NUMBER_OF_COUNTRY


def normalise_number(number: object, default_region: str | None = None, country: str | None = None) -> str:
    """
    Give a number in international format, digits only: ``41793026727``.

    Taken are ``+41 79 302 67 27``, ``0041793026727``, ``41793026727``, ``+41 (0)79 302 67 27``, whole numbers of any
    type (also the ``41793026727.0`` of a data frame, unless it looks rounded), and, with a country, the national
    ``079 302 67 27``.

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
    return ready_digits(number, region) or _parsed_digits(number, region, bool(country))


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
    elif ways[0].startswith("0") or (reading := try_parse("+" + ways[0])) is None:
        raise invalid_number(
            number, ReasonCode.NO_COUNTRY_CODE, f"has no country code; {WITH_PLUS}, or give default_region"
        )
    else:
        found = reading
    digits = digits_of(checked_length(found, number))
    if found.italian_leading_zero and digits_of(parse("+" + digits, number)) != digits:
        raise invalid_number(number, _FOREIGN, f"has more zeros than one behind its country code; {WITH_PLUS}")
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
    found = parse(ways[0], shown)
    if len(ways) == 1 and not (found.italian_leading_zero and not phonenumbers.is_valid_number(found)):
        return found
    # A zero that is dialled inside the country, where it is no part of a number: in brackets, or in Poland until 2010.
    without = ways[0] if len(ways) > 1 else f"+{found.country_code}{found.national_number}"
    read = [found, *(parse(way, shown) for way in (*ways[1:], without))]
    valid = {digits_of(number): number for number in read if phonenumbers.is_valid_number(number)}
    if len(valid) > 1:
        raise invalid_number(shown, _AMBIGUOUS, f"can be read in two ways, with the 0 and without; {WITH_PLUS}")
    if not valid and len(ways) > 1 and len(set(map(digits_of, read))) > 1:
        raise invalid_number(
            shown, _FOREIGN, f"is no number of +{found.country_code}, with the 0 or without; {WITH_PLUS}"
        )
    return next(iter(valid.values()), found)


def _dialled_with_00(ways: Sequence[str], region: str | None, shown: object) -> PhoneNumber:
    """Read a number that begins with 00, which is not what is dialled for abroad everywhere: in Thailand it is 001."""
    if region is None and ways[0].startswith("0011"):  # Australia's 0011; no number of +1 begins with a 1
        raise invalid_number(shown, _AMBIGUOUS, f"can be read in two ways; {WITH_PLUS}")
    found = _of_country_code(["+" + way[2:] for way in ways], shown)
    if region is None or (phonenumbers.is_valid_number(found) and found.country_code == code_of(region)):
        return found
    other = try_parse(ways[0], region)
    if other is not None and phonenumbers.is_valid_number(other) and digits_of(other) != digits_of(found):
        raise invalid_number(shown, _AMBIGUOUS, f"can be read in two ways in {region}; {WITH_PLUS}")
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
    read = valid_of([way for text in ways for way in _inside(text, region)])
    own = [found for found in read.values() if found.country_code == code_of(region)]
    mobile = list(filter(takes_sms, own))
    if len(mobile or own) > 1:
        raise invalid_number(shown, _AMBIGUOUS, f"can be read in two ways in {region}; {WITH_PLUS}")
    if mobile and (named or not _is_of_another_region(mobile[0], region)):
        return mobile[0]
    # A number of another country without its plus, or dialled from this one.
    foreign = [
        found
        for found in (*valid_of([("+" + text, None) for text in ways]).values(), *read.values())
        if found.country_code != code_of(region)
    ]
    possible = [found for text in ways if (found := try_parse(text, region)) and is_possible(found)]
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
    read = {digits_of(found): found for text in ways if (found := _written_out(text, region))}
    if len(read) == 1:
        return next(iter(read.values()))
    checked_length(parse(ways[0], shown, region), shown)
    raise invalid_number(shown, _FOREIGN, f"is no number of {region}, perhaps for want of an area code; {WITH_PLUS}")


def _inside(text: str, region: str) -> list[tuple[str, str]]:
    """Give what a text may be inside a country, for the parser."""
    ways = [(text, region)]
    if text.startswith(str(code_of(region))):
        ways.append(("+" + text, region))
    if not text.startswith("0") and phonenumbers.ndd_prefix_for_region(region, True) != "0":
        # A number that was calculated with has lost the zeros that belong to it in Gabon or Italy.
        ways.append(("0" + text, region))
    return ways


def _written_out(text: str, region: str) -> PhoneNumber | None:
    """Give the possible number of a text that has all its digits for sure: 07700 900123, 447700900123."""
    dialled = phonenumbers.ndd_prefix_for_region(region, True)
    found = try_parse(text, region)
    national = phonenumbers.national_significant_number(found) if found else ""
    if not dialled or text != dialled + national:
        found = try_parse("+" + text) if text.startswith(str(code_of(region))) else None
    return found if found and found.country_code == code_of(region) and is_possible(found) else None


def _is_of_another_region(number: PhoneNumber, region: str) -> bool:
    """Tell whether a number of the region's country code is another region's: Jamaica's, with the region US."""
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code_of(region)]
    return len(regions) > 1 and phonenumbers.region_code_for_number(number) != region


def _refuse_two(text: str, region: str | None, shown: object) -> None:
    """Refuse two numbers of a country whose numbers are of any length, so that both together look like one."""
    if AND_ANOTHER.search(text):
        raise more_than_one(shown)
    gaps = [gap for gap in _GAP.finditer(text) if sum(map(str.isdigit, text[gap.end() :])) >= _SHORTEST_NUMBER]
    if not gaps or sum(map(str.isdigit, text)) < 2 * _SHORTEST_NUMBER:
        return
    if region is None:
        first = try_parse("+" + "".join(filter(str.isdigit, text)).removeprefix("00"))
        code = first.country_code if first else None
        region = phonenumbers.region_code_for_country_code(code) if code else None
    for gap in gaps:
        if all(_is_whole(number, region) for number in (text[: gap.start()], text[gap.end() :])):
            raise more_than_one(shown)


def _is_whole(text: str, region: str | None) -> bool:
    if sum(map(str.isdigit, text)) < _SHORTEST_NUMBER:
        return False
    found = try_parse(text, region)
    return found is not None and phonenumbers.is_valid_number(found)
