"""Numbers as people write them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from airflow_provider_omnichat.api.errors import InvalidInviteError
from airflow_provider_omnichat.campaign.phone.number import normalise_number
from tests.support.phone_numbers import refused


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
        ("447911123456", "US", "447911123456"),
        ("0171/1234567", "DE", "491711234567"),
        ("0664 / 123 45 67", "AT", "436641234567"),
        ("(0664)/1234567", "AT", "436641234567"),
        ("+49 (0)171/1234567", None, "491711234567"),
        ("0049171/1234567", None, "491711234567"),
        ("0475/12 34 56", "BE", "32475123456"),
        ("06 12 04 05 06", "FR", "33612040506"),
        ("1 55 1234 5678", "MX", "525512345678"),
        ("044 55 1234 5678", "MX", "525512345678"),
        ("+52 1 55 1234 5678", None, "525512345678"),
        ("+54 11 2345-6789", None, "541123456789"),
        ("011 15 2345-6789", "AR", "5491123456789"),
        ("+55 11 6123-4567", None, "5511961234567"),
        ("95 12 34 56", "BJ", "2290195123456"),
        ("09 8765 4321", "CL", "56987654321"),
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
        *(("\u221241791234567", "-"), ("\u201341791234567", "-"), ("- 41791234567", "-")),
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
    assert normalise_number("41793026727", None, "CH") == "41793026727"


@pytest.mark.parametrize(
    ("written", "region", "code"),
    [
        pytest.param("41793026727", "DE", 41, id="a Swiss mobile, and a landline of Lower Saxony"),
        pytest.param("33612345678", "LU", 33, id="a French mobile, possible in Luxembourg"),
        pytest.param("14155552671", "AT", 1, id="a Californian number, possible in Austria"),
        pytest.param("393331234567", "CH", 39, id="an Italian mobile, of a length that Swiss numbers can have"),
    ],
)
def test_what_can_be_a_number_of_the_region_and_a_mobile_of_another_country_is_neither(written, region, code):
    said = f"can be a number of {region} and one of +{code}; write it with a plus before it"
    assert said in refused(written, default_region=region)
    assert said in refused(written, country=region)
    assert normalise_number(f"+{written}", None, region) == written


def test_a_row_that_names_its_country_has_no_number_of_another_without_a_plus():
    assert normalise_number("447911123456", "US") == "447911123456"
    assert "is not a number of US; one of another country needs a plus" in refused("447911123456", country="US")
    assert "is not a number of US" in refused("447911123456", "GB", "US"), "the country counts, not the default region"
    assert normalise_number("+447911123456", None, "US") == "447911123456"


def test_00_is_not_guessed_where_it_is_not_what_is_dialled_for_abroad():
    # Thailand dials 001 for abroad: +65 9123 4567 from there, or +1 659 123 4567 with 00.
    assert "can be read in two ways in TH" in refused("001 65 9123 4567", "TH")
    assert normalise_number("0041 79 302 67 27", "TH") == "41793026727"


@pytest.mark.parametrize("region", ["DE", "AT", "FI"])
@pytest.mark.parametrize(
    "both",
    [
        *("030 12345 / 030 12346", "030 12345/12346", "030 12345/030 12346", "0301234/0301235", "030/1234/5678"),
        *("030 12345\n030 12346", "030 12345\t030 12346", "030 12345\u2028030 12346", "030 12345\r\n030 12346"),
        *("030 12345, 030 12346", "030 12345;030 12346", "030 12345 & 030 12346", "030 12345|030 12346"),
        *("030 12345~030 12346", "030 12345\u223c6", "030 12345\uff5e6", "030 12345\uff0f030 12346"),
        *("+493012345/12346", "+49 30 12345/12346", "0049 30 12345/12346", "+49 30 12345 +49 30 12346"),
        *("12345/12346", "123456/123457", "030 123/124"),
    ],
)
def test_two_numbers_in_one_cell_are_not_joined_to_one(both, region):
    said = refused(both, region)
    assert "is more than one plain number" in said or "has a tab or a line break in it" in said


@pytest.mark.parametrize(
    "both", ["030 12345\u200b030 12346", "030 12345 030 12346", "030 12345-030 12346", "(030) 12345 (030) 12346"]
)
def test_two_numbers_with_nothing_but_a_separator_between_are_not_joined_to_one(both):
    assert "is more than one plain number" in refused(both, "DE")


@pytest.mark.parametrize(
    "hidden",
    ["\ufe0f", "\ufe0e", "\u200d", "\u200b", "\u034f", "\u3164", "\u115f", "\uffa0", "\U000e0100", "\u180b", "\u2060"],
)
def test_invisible_characters_are_dropped(hidden):
    assert normalise_number(f"+41{hidden}79302{hidden}{hidden}6727{hidden}") == "41793026727"


@pytest.mark.parametrize(
    ("seen", "named"),
    [
        ("\u20e3", "U+20E3 (COMBINING ENCLOSING KEYCAP)"),
        ("\u2800", "U+2800 (BRAILLE PATTERN BLANK)"),
        ("\u00b2", "U+00B2 (SUPERSCRIPT TWO)"),
        ("\u2460", "U+2460 (CIRCLED DIGIT ONE)"),
        ("_", "'_'"),
    ],
)
def test_a_character_that_does_not_belong_in_a_number_is_named(seen, named):
    assert f"has {named} in it" in refused(f"+4179302{seen}6727")


# found by attack: what stands around the digits decides nothing, and nothing else is a number of the country


@pytest.mark.parametrize(
    ("written", "region", "sent"),
    [
        *((("(49) 171 1234567"), "DE", "491711234567"), ("[49] 171 1234567", "DE", "491711234567")),
        *(("4.91711234567", "DE", "491711234567"), ("98765-43210", "IN", "919876543210")),
        *(("(0057) 301 234 5678", "CO", "573012345678"), ("0 057 301 234 5678", "CO", "573012345678")),
        *(("0057 301 234 5678", "CO", "573012345678"), ("(0061) 412 345 678", "AU", "61412345678")),
        *(("(0041) 79 302 67 27", "JP", "41793026727"), ("(007) 912 345 67 89", "RU", "79123456789")),
        *(("(+41) 79 302 67 27", "DE", "41793026727"), ("[+41] 79 302 67 27", None, "41793026727")),
        *(("tel:+41793026727", None, "41793026727"), ("0475/12.34.56", "BE", "32475123456")),
        *(("+48 (0)512 345 678", None, "48512345678"), ("+420 (0)602 123 456", None, "420602123456")),
        *(("+57 (0)301 234 5678", None, "573012345678"), ("+49 (0)0171 1234567", None, "491711234567")),
        *(("+44 (0)7700 900475", None, "447700900475"), ("07700 900123", "GB", "447700900123")),
        *(("447700900123", "GB", "447700900123"), ("787 555 1234", "US", "17875551234")),
        *(("07 07 12 34 56", "CI", "2250707123456"), ("06.12.34.56.00", "FR", "33612345600")),
        # both readings are somebody's: with and without the 0, and in Australia
        *(("+39 (0)331 234 5678", None, None), ("0011 65 9834 5678", None, None)),
        # no area code, or what is no number there
        *(("98123-4567", "BR", None), ("15 2345-6789", "AR", None), ("8123 4567", "CL", None)),
        *(("079 302 67 27", "US", None), ("0512 345 678", "PL", None), ("0692 12 34 56", "FR", None)),
        # two numbers
        *(("49996009 42022154", "QA", None), ("49 12 34 56 49 12 34 57", "DK", None)),
        *(("611 1234 611 1235", "IS", None), ("+49 30 1234 030 1235", None, None), ("+39 06 1234 06 1235", "IT", None)),
        *(("0664/1234567-68", "AT", None), ("0664 1234567-68", "AT", None), ("030/12345-12346", "DE", None)),
        # decimals
        *(("0171.1234567.0", "DE", None), ("01711234567. 0", "DE", None), ("1.711.234.567.0", "DE", None)),
        *(("066918.0", "IT", None), ("17112.34567", "DE", None), ("0.1711234567", "DE", None)),
        *((10**5000, None, None), (-(10**5000), "CH", None)),
    ],
    ids=lambda given: str(given)[:30] if isinstance(given, str) else "",
)
def test_a_number_is_read_by_its_digits_and_a_plan_or_refused(written, region, sent):
    for given_so in ((written, region), (written, None, region)):
        if sent is None:
            assert "1234567" not in refused(*given_so).replace("+41793026727", "")
        else:
            assert normalise_number(*given_so) == sent
            assert normalise_number(f"+{sent}") == sent


@pytest.mark.parametrize(("written", "region", "code"), [("6644923456", "US", 66), ("5016001234", "CA", 501)])
def test_a_number_of_the_regions_code_that_is_another_regions_may_be_another_countrys(written, region, code):
    # Montserrat's or Thailand's; Arkansas' or Belize's. Dialled inside +1, it is the first of them.
    assert f"can be a number of {region} and one of +{code}" in refused(written, region)
    assert normalise_number(written, None, region) == f"1{written}"
