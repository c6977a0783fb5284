"""One person, in whichever of a mobile's two writings their number comes."""

from __future__ import annotations

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_omnichat.api.identity import identity_of, in_use, recipient_key
from airflow_provider_omnichat.campaign.phone.number import normalise_number

TWO_WRITINGS = [
    pytest.param("5491123456789", "541123456789", id="Argentina, with and without the 9"),
    pytest.param("5493541234567", "543541234567", id="Argentina, a town"),
    pytest.param("5511961234567", "551161234567", id="Brazil, with and without the ninth digit"),
    pytest.param("5521987654321", "552187654321", id="Brazil, Rio"),
    pytest.param("5511971234567", "551171234567", id="Brazil, what was Nextel's"),
    pytest.param("525512345678", "5215512345678", id="Mexico, with the old 1"),
    pytest.param("56987654321", "560987654321", id="Chile, with the old 0"),
    pytest.param("970599123456", "972599123456", id="Palestine, by two codes"),
    pytest.param("24106031234", "2416031234", id="Gabon"),
    pytest.param("262692123456", "33692123456", id="Reunion, dialled as a number of France"),
    pytest.param("2290195123456", "22995123456", id="Benin, before November 2024"),
]


@pytest.mark.parametrize(("new", "old"), TWO_WRITINGS)
def test_both_writings_of_a_mobile_are_one_person(new, old):
    assert identity_of(new) == identity_of(old)
    assert recipient_key("c", new) == recipient_key("c", old)
    assert identity_of(normalise_number(f"+{new}")) == identity_of(normalise_number(f"+{old}"))


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("5491123456789", "5491123456789"),
        ("541123456789", "541123456789"),
        ("551171234567", "551171234567"),
        ("551161234567", "5511961234567"),
        ("5215512345678", "525512345678"),
        ("22995123456", "2290195123456"),
    ],
)
def test_a_number_is_sent_as_written_if_that_still_reaches_the_person(written, sent):
    assert in_use(written) == sent
    assert normalise_number(f"+{written}") == sent


@pytest.mark.parametrize("number", ["551131234567", "5511961234567", "541123456789", "525512345678", "41793026727"])
def test_other_numbers_are_themselves(number):
    assert identity_of(number) == number


def test_no_two_mobiles_of_all_countries_are_one_person():
    found = [
        phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
        for region in phonenumbers.SUPPORTED_REGIONS
    ]
    numbers = {phonenumbers.format_number(each, phonenumbers.PhoneNumberFormat.E164)[1:] for each in found if each}
    assert len(numbers) > 200
    assert len({identity_of(number) for number in numbers}) == len(numbers)


@given(st.sampled_from(["54", "549", "55", "521", "52", "560", "56", "229", "1", "49"]), st.from_regex(r"\A\d{6,12}\Z"))
def test_an_identity_is_its_own_identity(code, rest):
    number = identity_of(code + "".join(str(int(digit)) for digit in rest))
    assert identity_of(number) == number
    assert identity_of(in_use(number)) == number
