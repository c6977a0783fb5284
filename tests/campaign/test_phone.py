"""Numbers as people write them."""

from __future__ import annotations

from decimal import Decimal

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_omnichat.api.errors import InvalidInviteError
from airflow_provider_omnichat.campaign.phone import _parsed_digits, _ready_digits, normalise_number


@pytest.mark.parametrize(
    ("written", "region", "sent"),
    [
        ("+41 79 302 67 27", None, "41793026727"),
        ("0041 79 302 67 27", None, "41793026727"),
        ("00 41 79 302 67 27", None, "41793026727"),
        ("41793026727", None, "41793026727"),
        (41793026727, None, "41793026727"),
        (Decimal(41793026727), None, "41793026727"),
        (Decimal("41793026727.00"), None, "41793026727"),
        (Decimal("793026727"), "CH", "41793026727"),
        ("+41 (0)79 302 67 27", None, "41793026727"),
        ("+41-79-302-67-27", None, "41793026727"),
        ("+41.79.302.67.27", None, "41793026727"),
        ("+41\u00a079\u202f302\u00a067\u00a027", None, "41793026727"),
        (" +41793026727\n", None, "41793026727"),
        ("\u202a+41 79 302 67 27\u202c", None, "41793026727"),
        ("\uff0b\uff14\uff11\uff17\uff19\uff13\uff10\uff12\uff16\uff17\uff12\uff17", None, "41793026727"),
        ("+\u0664\u0661\u0667\u0669\u0663\u0660\u0662\u0666\u0667\u0662\u0667", None, "41793026727"),
        ("'+41793026727", None, "41793026727"),
        ("'41793026727", None, "41793026727"),
        ("\u20190041 79 302 67 27", None, "41793026727"),
        ("'079 302 67 27", "CH", "41793026727"),
        ("[079] 302 67 27", "CH", "41793026727"),
        ("+(41) 79 302 67 27", None, "41793026727"),
        ("079 302 67 27", "CH", "41793026727"),
        ("079 302 67 27", "ch", "41793026727"),
        ("79 302 67 27", "CH", "41793026727"),
        ("+41793026727", "DE", "41793026727"),
        ("0041793026727", "US", "41793026727"),
        ("(0151) 23456789", "DE", "4915123456789"),
        ("4915123456789", "DE", "4915123456789"),
        ("41793026727", "DE", "41793026727"),
        ("33612345678", "LU", "33612345678"),
        ("14155552671", "AT", "14155552671"),
        ("15123456789", "DE", "4915123456789"),
        ("4155552671", "US", "14155552671"),
        ("(415) 555-2671", "US", "14155552671"),
        ("+1 415 555 2671", "CH", "14155552671"),
        ("07911 123456", "GB", "447911123456"),
        ("312 345 6789", "IT", "393123456789"),
        ("+39 06 698 12345", None, "390669812345"),
        ("090-1234-5678", "JP", "819012345678"),
        ("+55 11 96123-4567", None, "5511961234567"),
        ("+54 9 11 2345-6789", None, "5491123456789"),
        ("+91 98765 43210", None, "919876543210"),
        ("8 912 345-67-89", "RU", "79123456789"),
    ],
)
def test_a_number_is_sent_as_international_digits(written, region, sent):
    assert normalise_number(written, region) == sent


@pytest.mark.parametrize("number", ["41793026727.5", "NaN", "sNaN", "-Infinity", "1E+99999", "1E-99999", "0"])
def test_a_decimal_that_is_no_whole_number_is_refused(number):
    with pytest.raises(InvalidInviteError):
        normalise_number(Decimal(number))


@pytest.mark.parametrize("region", [None, "CH"])
@pytest.mark.parametrize(
    ("written", "mark"),
    [
        *(("-41791234567", "-"), (-41791234567, "-"), (Decimal(-41791234567), "-"), ("-079 302 67 27", "-")),
        *(("\u221241791234567", "\u2212"), ("\u201341791234567", "\u2013"), ("- 41791234567", "-")),
        *(("=41791234567", "="), ("=+41791234567", "="), ('="41791234567"', "="), ("'=41791234567", "=")),
        *(("+-41791234567", "-"), ("(-41791234567", "-"), ("''41791234567", "'"), ("'-41791234567", "-")),
        *(('"41791234567"', '"'), ("~41791234567", "~"), (".41791234567", "."), ("@41791234567", "@")),
    ],
)
def test_what_does_not_belong_before_a_number_makes_it_none(written, mark, region):
    with pytest.raises(InvalidInviteError) as raised:
        normalise_number(written, region)
    assert f"has {mark!r} before its first digit; write it like" in str(raised.value)
    assert "1234567" not in str(raised.value)


def test_digits_without_a_plus_are_the_number_of_the_region_where_they_can_be():
    assert normalise_number("41793026727", "CH") == "41793026727"


ANYTHING = st.one_of(
    st.text(max_size=45),
    st.from_regex(r"\A\+?[0-9 ().\-]{4,20}\Z"),
    st.integers(min_value=-(10**6), max_value=10**17),
    st.floats(),
    st.none(),
    st.binary(max_size=5),
)


@settings(max_examples=200, deadline=None)
@given(ANYTHING, st.sampled_from([None, "CH", "DE", "US", "IT", "AR"]))
def test_what_comes_out_is_digits_or_an_error_that_hides_the_number_and_it_is_stable(number, region):
    try:
        digits = normalise_number(number, region)
    except InvalidInviteError as raised:
        written = "".join(c for c in str(number) if c.isdigit())
        hidden = len(written) < 9 or written not in str(raised)
        assert hidden
        return
    assert digits.isascii()
    assert digits.isdigit()
    if phonenumbers.is_valid_number(phonenumbers.parse("+" + digits)):  # of others, a 0 may be taken for a prefix
        assert normalise_number("+" + digits) == digits
        assert normalise_number("+" + digits, region) == digits


@settings(max_examples=150, deadline=None)
@given(st.integers(min_value=10**7, max_value=10**13))
def test_digits_alone_are_stable_without_a_region(number):
    try:
        digits = normalise_number(number)
    except InvalidInviteError:
        return
    if phonenumbers.is_valid_number(phonenumbers.parse("+" + digits)):
        assert normalise_number(digits) == digits


# numbers that need no parsing


def by_parsing(number: object, region: str | None) -> str | None:
    try:
        return _parsed_digits(number, region)
    except InvalidInviteError:
        return None


COUNTRY_CODES = sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)
KINDS = [kind for kind in phonenumbers.PhoneNumberType.values() if kind != phonenumbers.PhoneNumberType.UNKNOWN]


def examples(kinds: list[int]) -> set[str]:
    """What the numbering plans give as examples of these kinds of numbers, in each region and outside of regions."""
    found = [
        phonenumbers.example_number_for_type(region, kind)
        for region in phonenumbers.SUPPORTED_REGIONS
        for kind in kinds
    ]
    found += map(phonenumbers.example_number_for_non_geo_entity, phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS)
    return {phonenumbers.format_number(one, phonenumbers.PhoneNumberFormat.E164) for one in found if one}


def invalid_examples() -> set[str]:
    found = map(phonenumbers.invalid_example_number, phonenumbers.SUPPORTED_REGIONS)
    return {phonenumbers.format_number(one, phonenumbers.PhoneNumberFormat.E164) for one in found if one}


def test_examples_of_every_region_and_kind_are_as_parsing_has_them():
    numbers = examples(KINDS) | invalid_examples()
    assert len(numbers) > 1000
    for number in numbers:
        for written in (number, "00" + number[1:], number[1:], f"{number[:4]} {number[4:7]}-{number[7:]}"):
            assert _ready_digits(written, None) in (None, by_parsing(written, None)), written


def test_mobile_numbers_of_every_country_need_no_parsing():
    numbers = examples([phonenumbers.PhoneNumberType.MOBILE])
    assert {phonenumbers.parse(number).country_code for number in numbers} == set(COUNTRY_CODES)
    assert [number for number in numbers if not _ready_digits(number, None)] == []


@pytest.mark.parametrize(
    ("written", "ready"),
    [
        pytest.param("+41793026727", "41793026727", id="plain"),
        pytest.param("+390236618300", "390236618300", id="Italy, the zero belongs to the number"),
        pytest.param("+390669812345", "390669812345", id="the Vatican, by Italy's code"),
        pytest.param("+393123456789", "393123456789", id="Italy, mobile"),
        pytest.param("+393123456789012", None, id="Italy, too long"),
        pytest.param("+14155552671", "14155552671", id="United States"),
        pytest.param("+18765551234", "18765551234", id="Jamaica"),
        pytest.param("+114155552671", None, id="the 1 that is dialled before a number in America"),
        pytest.param("+5551234", None, id="seven digits are local only in America"),
        pytest.param("+77011234567", "77011234567", id="Kazakhstan"),
        pytest.param("+78005553535", None, id="Russia, the 8 might be what is dialled before a number"),
        pytest.param("+410793026727", None, id="Switzerland, with the 0 that is dialled before a number"),
        pytest.param("+442071838750", "442071838750", id="Britain"),
        pytest.param("+262692123456", "262692123456", id="Reunion"),
        pytest.param("+262639123456", "262639123456", id="Mayotte"),
        pytest.param("+5491123456789", "5491123456789", id="Argentina, mobile"),
        pytest.param("+54111523456789", None, id="Argentina, the 15 moves to the front as a 9"),
        pytest.param("+80012345678", "80012345678", id="a free number of no country"),
        pytest.param("+870301234567", "870301234567", id="a satellite"),
        pytest.param("+999123456789", None, id="no country"),
        pytest.param("+0041793026727", None, id="two prefixes"),
        pytest.param("+41  793026727", None, id="two spaces"),
        pytest.param("+41793026727\n", None, id="line end"),
        pytest.param("\uff0b41793026727", None, id="a wide plus"),
        pytest.param("+4179302672\u0667", None, id="an Arabic digit"),
    ],
)
def test_what_is_ready_without_parsing_is_what_parsing_gives(written, ready):
    assert _ready_digits(written, None) == ready
    if ready:
        assert by_parsing(written, None) == ready


def test_digits_without_a_plus_are_read_with_the_region_where_one_is_given():
    assert _ready_digits("41793026727", None) == "41793026727"
    assert _ready_digits("41793026727", "CH") is None


@settings(max_examples=3000, deadline=None)
@given(
    st.sampled_from(["+", "00", ""]),
    st.sampled_from(COUNTRY_CODES),
    st.text("0123456789", min_size=3, max_size=13),
    st.lists(st.tuples(st.integers(1, 14), st.sampled_from(" -")), max_size=4),
    st.sampled_from([None, "CH", "US", "AR", "IT"]),
)
def test_no_number_is_ready_that_parsing_would_refuse_or_change(prefix, code, rest, separators, region):
    digits = f"{code}{rest}"
    for at, separator in separators:
        digits = digits[:at] + separator + digits[at:]
    ready = _ready_digits(prefix + digits, region)
    assert ready in (None, by_parsing(prefix + digits, region))
