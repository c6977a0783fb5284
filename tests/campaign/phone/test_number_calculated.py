"""Whole numbers that were calculated with, as data frames and spreadsheets write them."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy
import pytest

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
        ("9876543217.0", "IN", "919876543217"),
        (Decimal("9876543210.00"), "IN", "919876543210"),
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
