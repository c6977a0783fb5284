"""Numbers that need no parsing are what parsing would give."""

from __future__ import annotations

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_omnichat.api.errors import InvalidInviteError
from airflow_provider_omnichat.campaign.phone.number import _parsed_digits
from airflow_provider_omnichat.campaign.phone.ready_number import ready_digits


def by_parsing(number: object, region: str | None) -> str | None:
    try:
        return _parsed_digits(number, region, named=False)
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
            assert ready_digits(written, None) in (None, by_parsing(written, None)), written


def test_mobile_numbers_of_every_country_need_no_parsing():
    numbers = examples([phonenumbers.PhoneNumberType.MOBILE])
    assert {phonenumbers.parse(number).country_code for number in numbers} == set(COUNTRY_CODES)
    assert [number for number in numbers if not ready_digits(number, None)] == []


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
        pytest.param("+36033064480", None, id="Hungary, a 0 that parsing drops"),
        pytest.param("+4200310618417", None, id="the Czech Republic, a 0 that parsing drops"),
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
    assert ready_digits(written, None) == ready
    if ready:
        assert by_parsing(written, None) == ready


def test_digits_without_a_plus_are_read_with_the_region_where_one_is_given():
    assert ready_digits("41793026727", None) == "41793026727"
    assert ready_digits("41793026727", "CH") is None


@pytest.mark.parametrize("examples", [1000, pytest.param(5000, marks=pytest.mark.slow)])
def test_no_number_is_ready_that_parsing_would_refuse_or_change(examples):
    @settings(max_examples=examples)
    @given(
        st.sampled_from(["+", "00", ""]),
        st.sampled_from(COUNTRY_CODES),
        st.sampled_from(["", "", "0", "1", "8", "15"]),
        st.text("0123456789", min_size=3, max_size=13),
        st.lists(st.tuples(st.integers(1, 14), st.sampled_from(" -")), max_size=4),
        st.sampled_from([None, "CH", "US", "AR", "IT"]),
    )
    def is_as_parsing_has_it(prefix, code, dialled, rest, separators, region):
        digits = f"{code}{dialled}{rest}"
        for at, separator in separators:
            digits = digits[:at] + separator + digits[at:]
        ready = ready_digits(prefix + digits, region)
        assert ready in (None, by_parsing(prefix + digits, region))

    is_as_parsing_has_it()
