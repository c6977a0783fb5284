"""Whole numbers that were calculated with, as data frames and spreadsheets write them."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from airflow_provider_omnichat.api.errors import InvalidInviteError
from airflow_provider_omnichat.api.reasons import ReasonCode
from airflow_provider_omnichat.campaign.model.field_values import RoundedFloat
from airflow_provider_omnichat.campaign.phone.number import normalise_number
from tests.support.phone_numbers import refused


@pytest.mark.parametrize(
    ("written", "region", "sent"),
    [
        ("41793026727.0", None, "41793026727"),
        ("41793026727.00", "CH", "41793026727"),
        ("+41793026727.0", "DE", "41793026727"),
        ("0041793026727.000000", None, "41793026727"),
        ("\uff0b41793026727\uff0e0", None, "41793026727"),
        (41793026727.0, None, "41793026727"),
        (793026727.0, "CH", "41793026727"),
        ("793026727.0", "CH", "41793026727"),
        ("1712345678.0", "DE", "491712345678"),
        (1712345678.0, "DE", "491712345678"),
        ("6641234567.0", "AT", "436641234567"),
        ("3123456789.0", "IT", "393123456789"),
        ("401234567.0", "FI", "358401234567"),
        ("13812345678.0", "CN", "8613812345678"),
        ("9876543210.0", "IN", "919876543210"),
        (9876543210.0, "IN", "919876543210"),
        (Decimal("9876543210.00"), "IN", "919876543210"),
        (6112345.0, "IS", "3546112345"),
        (Decimal("41793030000"), None, "41793030000"),
        (41793030000, None, "41793030000"),
        ("4.17930E+10", None, None),
        ("41793026727.5", None, None),
        ("1712345678.50", "DE", None),
        ("171 2345678.0", "DE", None),
        (41793026727.5, None, None),
        (float("inf"), None, None),
        (1e15, None, None),
        (Fraction(41793026727, 2), None, None),
    ],
)
def test_a_whole_number_is_itself_however_a_data_frame_writes_it_and_any_other_none(written, region, sent):
    if sent is None:
        assert refused(written, region)
    else:
        assert normalise_number(written, region) == sent
        assert normalise_number(written, None, region) == sent


def test_a_number_of_numpy_is_a_number_and_one_of_32_bits_is_refused():
    assert normalise_number(numpy.int64(41793026727)) == "41793026727"
    assert normalise_number(numpy.uint64(41793026727)) == "41793026727"
    assert normalise_number(numpy.float64(41793026727)) == "41793026727"
    assert normalise_number(numpy.str_("41793026727.0")) == "41793026727"
    assert "float32, which cannot hold a phone number" in refused(numpy.float32(41793026727))
    assert "is missing" in refused(numpy.float64("nan"))
    assert "is a bool" in refused(numpy.bool_(True))


@pytest.mark.parametrize(
    ("written", "region"),
    [
        (41793030000.0, None),  # PostgreSQL's REAL
        (41793000000.0, None),  # MySQL's FLOAT
        (41793028096.0, None),  # DuckDB's REAL, and a float32 data frame
        (793026750.0, "CH"),  # PostgreSQL's REAL, of a national number
        (793027000.0, "CH"),  # MySQL's FLOAT of the same
        (793026752.0, "CH"),  # and as it is
        (6112340.0, "IS"),  # MySQL's FLOAT, of seven digits
        (41793026700.0, None),
        (9876543200.0, "IN"),
        ("41793028096.0", None),
        ("+41793030000.00", None),
        ("0041793000000.0", None),
        (numpy.float64(41793028096), None),
        (numpy.float32(41793026727), None),
        (RoundedFloat(41793026727), None),
        (Decimal("4.1793E+10"), None),
        (Decimal("4.1793E+10"), "CH"),
        (-41793030000.5, None),
    ],
)
def test_a_number_that_was_rounded_has_lost_digits(written, region):
    with pytest.raises(InvalidInviteError, match="give it as a text or as an integer") as raised:
        normalise_number(written, region)
    assert raised.value.reason.code is ReasonCode.NUMBER_LOST_DIGITS
    assert "302" not in str(raised.value)


@given(st.integers(2**24 + 1, 10**13), st.sampled_from([6, 7, 8, 9, 17]))
def test_what_is_left_of_a_number_in_32_bits_is_never_a_number(number, digits):
    left = float(f"{numpy.float32(number):.{digits}g}")
    for written in (left, f"{left:.1f}"):
        with pytest.raises(InvalidInviteError) as raised:
            normalise_number(written, "CH")
        assert raised.value.reason.code is ReasonCode.NUMBER_LOST_DIGITS


@given(st.integers(41790000000, 41799999999))
def test_a_float_of_64_bits_is_the_number_unless_it_looks_rounded(number):
    assume(number % 100 and number % 4096)
    assert normalise_number(float(number)) == normalise_number(f"{number}.0") == str(number)
