"""Mobile numbers of every country, in every writing: themselves or refused, and never another."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import count
from typing import TypeVar

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import float32

from airflow_provider_omnichat.api.errors import InvalidInviteError
from airflow_provider_omnichat.api.identity import identity_of
from airflow_provider_omnichat.campaign.phone.number import normalise_number

T = TypeVar("T")

MOBILES = sorted(
    (region, phonenumbers.format_number(found, phonenumbers.PhoneNumberFormat.E164)[1:])
    for region in phonenumbers.SUPPORTED_REGIONS
    if (found := phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE))
)
SOME = ["AT", "BR", "CN", "DE", "FI", "GB", "IN", "IT", "LU", "MX", "TK", "US"]
WIDE = str.maketrans("0123456789+", "\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19\uff0b")


def ways_to_write(number: str) -> list[object]:
    """International, as people, files and data frames have it."""
    spaced = " ".join(number[at : at + 3] for at in range(0, len(number), 3))
    return [
        *(f"+{number}", f"00{number}", f"+{spaced}", f"+{spaced}".replace(" ", "-"), f" +{number}\n"),
        *(f"'+{number}", f"+{number}.0", f"+{number}".translate(WIDE), f"\u202a+{number}\u202c"),
    ]


def ways_without_plus(number: str) -> list[object]:
    return [number, f"{number}.0", f"{number}.00", float(number), int(number), Decimal(number), Decimal(f"{number}.0")]


def national_ways(region: str, number: str) -> list[object]:
    parsed = phonenumbers.parse(f"+{number}")
    written = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.NATIONAL)
    plain = phonenumbers.national_significant_number(parsed)
    dialled = "".join(filter(str.isdigit, written))
    slashed = f"{dialled[:4]}/{dialled[4:]}"
    return [written, dialled, dialled.translate(WIDE), plain, f"{plain}.0", float(plain), int(plain), slashed]


def reading(*given: object) -> str | None:
    try:
        return normalise_number(*given)  # type: ignore[arg-type]
    except InvalidInviteError:
        return None


def looks_rounded(written: object) -> bool:
    if isinstance(written, int | Decimal) or not str(written).endswith((".0", ".00")):
        return False
    whole = int(float(str(written)))
    return whole % 100 == 0 or any(float(f"{float32(whole):.{digits}g}") == whole for digits in (7, 8, 9, 17))


@pytest.mark.parametrize("all_together", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_mobile_of_every_country_is_itself_in_every_writing_or_refused_and_never_another(all_together):
    """Each country in each writing; of the regions that it is read with, all, or each in turn."""
    assert len(MOBILES) > 200
    turns = count()

    def some_of(*regions: T) -> Sequence[T]:
        return regions if all_together else (regions[next(turns) % len(regions)],)

    for region, number in MOBILES:
        for written in ways_to_write(number):
            for given_with in ((), *some_of((region,), (None, region), ("US",), (None, "DE"))):
                read = reading(written, *given_with)
                # Where 00 is not what is dialled for abroad, it may be refused; and a float that looks rounded.
                refusable = (str(written).startswith("00") and given_with) or looks_rounded(written)
                assert read == number or (read is None and refusable), (written, given_with)
        for written in ways_without_plus(number):
            assert reading(written) == number or looks_rounded(written), (written, number)
            for given_with in some_of((region,), (None, region)):
                assert reading(written, *given_with) in (number, None), (written, region)
            for other in some_of(*SOME):
                if phonenumbers.country_code_for_region(other) != phonenumbers.country_code_for_region(region):
                    assert identity_of(reading(written, None, other) or "") != number
        for written in national_ways(region, number):
            for given_with in some_of((region,), (None, region)):
                read = reading(written, *given_with)
                assert identity_of(read or identity_of(number)) == identity_of(number), (written, given_with)


def test_most_ways_of_writing_a_national_number_are_understood():
    read = [reading(way, None, region) for region, number in MOBILES for way in national_ways(region, number)]
    assert sum(each is not None for each in read) / len(read) > 0.85


@settings(max_examples=300)
@given(st.sampled_from(MOBILES), st.sampled_from(MOBILES), st.data())
def test_digits_without_a_plus_never_reach_another_country_than_the_one_that_the_row_names(mobile, row, data):
    (_, number), (country, _) = mobile, row
    cut = data.draw(st.integers(0, 3))
    read = reading(number[cut:], None, country)
    if read is not None:
        assert phonenumbers.parse(f"+{read}").country_code == phonenumbers.country_code_for_region(country)


ANYTHING = st.one_of(
    st.text(max_size=45),
    st.from_regex(r"\A\+?[0-9 ().\-]{4,20}\Z"),
    st.integers(min_value=-(10**6), max_value=10**17),
    st.floats(),
    st.none(),
    st.binary(max_size=5),
)


@settings(max_examples=200)
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


@settings(max_examples=150)
@given(st.integers(min_value=10**7, max_value=10**13))
def test_digits_alone_are_stable_without_a_region(number):
    try:
        digits = normalise_number(number)
    except InvalidInviteError:
        return
    if phonenumbers.is_valid_number(phonenumbers.parse("+" + digits)):
        assert normalise_number(digits) == digits
