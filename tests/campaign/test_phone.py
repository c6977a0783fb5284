"""Numbers as people write them."""

from __future__ import annotations

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_omnichat.api.errors import InvalidInviteError
from airflow_provider_omnichat.campaign.phone import normalise_number


@pytest.mark.parametrize(
    ("written", "region", "sent"),
    [
        ("+41 79 302 67 27", None, "41793026727"),
        ("0041 79 302 67 27", None, "41793026727"),
        ("00 41 79 302 67 27", None, "41793026727"),
        ("41793026727", None, "41793026727"),
        (41793026727, None, "41793026727"),
        ("+41 (0)79 302 67 27", None, "41793026727"),
        ("+41-79-302-67-27", None, "41793026727"),
        ("+41.79.302.67.27", None, "41793026727"),
        ("+41\u00a079\u202f302\u00a067\u00a027", None, "41793026727"),
        (" +41793026727\n", None, "41793026727"),
        ("\u202a+41 79 302 67 27\u202c", None, "41793026727"),
        ("\uff0b\uff14\uff11\uff17\uff19\uff13\uff10\uff12\uff16\uff17\uff12\uff17", None, "41793026727"),
        ("+\u0664\u0661\u0667\u0669\u0663\u0660\u0662\u0666\u0667\u0662\u0667", None, "41793026727"),
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
