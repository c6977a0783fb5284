from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberType
from phonenumbers.timezone import time_zones_for_number

from airflow_provider_omnichat.campaign.phone import location, time_zones
from airflow_provider_omnichat.campaign.phone.location import zones_of

KINDS = tuple(PhoneNumberType.values())


def by_phonenumbers(number: str) -> tuple[str, ...]:
    return time_zones_for_number(phonenumbers.parse(f"+{number}"))


@pytest.mark.parametrize(
    ("number", "zones"),
    [
        pytest.param("41793026727", ("Europe/Zurich",), id="a Swiss mobile"),
        pytest.param("12125550123", ("America/New_York",), id="an American area code"),
        pytest.param("14155552671", ("America/Los_Angeles",), id="another one"),
        pytest.param("5511987654321", ("America/Sao_Paulo",), id="a Brazilian mobile has an area code"),
        pytest.param("5592987654321", ("America/Manaus",), id="of another zone"),
        pytest.param("351296123456", ("Atlantic/Azores",), id="a landline of the Azores"),
        pytest.param("351912345678", ("Atlantic/Azores", "Europe/Lisbon"), id="a Portuguese mobile may be there, too"),
        pytest.param("61891234567", ("Australia/Adelaide", "Australia/Perth"), id="an area code across a border"),
        pytest.param("77272345678", ("Asia/Almaty",), id="a landline of Kazakhstan"),
        pytest.param("77011234567", ("Asia/Almaty", "Asia/Aqtobe"), id="a mobile of Kazakhstan is not in Russia"),
        pytest.param("18762345678", ("America/Jamaica",), id="a mobile of Jamaica is not in the USA"),
        pytest.param(
            "447911123456",
            ("Europe/Guernsey", "Europe/Isle_of_Man", "Europe/Jersey", "Europe/London"),
            id="where the first digits do not tell the country, all of the code",
        ),
        pytest.param("390669812345", ("Europe/Vatican",), id="a zero that belongs to the number"),
        pytest.param("212661234567", ("Africa/Casablanca",), id="Morocco"),
        pytest.param("213551234567", ("Africa/Algiers",), id="Algeria"),
        pytest.param("74012123456", ("Europe/Kaliningrad",), id="Kaliningrad"),
    ],
)
def test_zones_of_numbers(number, zones):
    assert zones_of(number) == zones


def test_a_russian_mobile_may_be_anywhere_in_russia():
    zones = zones_of("79161234567")
    assert {"Europe/Kaliningrad", "Europe/Moscow", "Asia/Vladivostok", "Asia/Kamchatka"} < set(zones)
    assert "Europe/Bucharest" not in zones


def test_an_american_toll_free_number_may_be_anywhere_in_north_america():
    zones = zones_of("18005551234")
    assert zones == by_phonenumbers("18005551234")
    assert {"America/New_York", "America/Los_Angeles", "Pacific/Honolulu", "America/Anchorage"} < set(zones)


@pytest.mark.parametrize("number", ["80012345678", "883510012345678", "870773123456", "8816123456789", "979123456789"])
def test_a_number_of_no_country_has_no_zone(number):
    assert zones_of(number) == ()


@pytest.mark.parametrize("number", ["", "0", "0793026727", "999", "41", "1", "7", "+41793026727", "abc", "1²²", "1abc"])
def test_what_is_not_a_whole_number_breaks_nothing(number):
    assert isinstance(zones_of(number), tuple)


@pytest.mark.parametrize("number", ["41123456789", "76001234567"])
def test_a_number_that_is_in_no_plan_has_the_zones_of_its_country_code(number):
    assert by_phonenumbers(number) == ("Etc/Unknown",)
    code = number[: 2 if number.startswith("41") else 1]
    assert zones_of(number) == zones_of(code) != ()


def examples() -> Iterator[tuple[str, int, str]]:
    """A number of each country and kind."""
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for kind in KINDS:
            example = phonenumbers.example_number_for_type(region, kind)
            if example is not None:
                e164 = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
                yield region, kind, e164.removeprefix("+")


CORRECTED = ("211", "212", "213", "218", "373", "505", "970", "7")


def test_everywhere_else_they_are_those_of_phonenumbers():
    compared = narrowed = 0
    for region, kind, number in examples():
        theirs = by_phonenumbers(number)
        if number.startswith(CORRECTED) or theirs == ("Etc/Unknown",):
            continue
        ours = zones_of(number)
        compared += 1
        if ours != theirs:
            narrowed += 1
            assert kind == PhoneNumberType.MOBILE, (region, number)
            assert set(ours) < set(theirs), (region, number)
            assert len(ours) <= 2, (region, number)
    assert compared > 1000
    assert 15 <= narrowed <= 30  # the islands of +1, and few others


@cache
def year(zone: str) -> tuple[timedelta | None, ...]:
    """How far the clock is ahead of UTC, every six hours of 2026."""
    return tuple(
        (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=6 * step)).astimezone(ZoneInfo(zone)).utcoffset()
        for step in range(365 * 4)
    )


def test_the_clocks_are_those_of_the_country():
    """By the database's own list of countries, which phonenumbers does not follow everywhere."""
    countries: dict[str, set[str]] = defaultdict(set)
    for line in files("tzdata.zoneinfo").joinpath("zone.tab").read_text().splitlines():
        if not line.startswith("#"):
            country, _, zone, *_ = line.split("\t")
            countries[country].add(zone)
    seen = 0
    for region, kind, number in examples():
        # Not in the list: Ascension, Tristan da Cunha, Kosovo.
        if kind != PhoneNumberType.MOBILE or region not in countries:
            continue
        clocks = {year(zone) for zone in countries[region]}
        zones = zones_of(number)
        assert zones, region
        assert clocks & {year(zone) for zone in zones}, (region, zones)
        if len(phonenumbers.COUNTRY_CODE_TO_REGION_CODE[phonenumbers.country_code_for_region(region)]) == 1:
            assert {year(zone) for zone in zones} <= clocks, (region, zones)
        seen += 1
    assert seen > 200


@given(
    st.sampled_from(["1", "7", "44", "39", "55", "61", "599", "262", "800", "41"]), st.text("0123456789", max_size=12)
)
def test_any_digits_have_zones_with_a_calendar_or_none(code, digits):
    for zone in zones_of(code + digits):
        assert time_zones.checked_zone(zone) == zone


@pytest.fixture
def tzdata_without(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Pretend that the machine's tzdata is too old for one of Brazil's zones."""
    caches = (location._zones_by_prefix, location._only_zones)
    known = {name.casefold(): name for name in time_zones.known_zones().values() if name != "America/Manaus"}
    for kept in caches:
        kept.cache_clear()
    monkeypatch.setattr(location, "known_zones", lambda: known)
    yield "America/Manaus"
    for kept in caches:
        kept.cache_clear()


def test_a_zone_that_tzdata_does_not_know_leaves_the_number_without_zones(tzdata_without):
    assert zones_of("5592987654321") == ()
    # A number that may be there, too.
    assert tzdata_without in by_phonenumbers("558001234567")
    assert zones_of("558001234567") == ()
    assert zones_of("5511987654321") == ("America/Sao_Paulo",)


def test_the_zones_of_all_numbers_are_loaded_when_the_first_is_asked_for():
    program = (
        "import sys; from airflow_provider_omnichat.campaign.phone import location as n; "
        "assert 'phonenumbers.tzdata' not in sys.modules; n.zones_of('41793026727'); "
        "assert 'phonenumbers.tzdata' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_window_is_made_without_loading_anything_heavy():
    program = (
        "import sys; from airflow_provider_omnichat.campaign.checks.send_window import SendWindow; "
        "SendWindow('09:00', '20:00', days='mon-sat'); "
        "assert not {'phonenumbers', 'pendulum', 'aiohttp', 'requests'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
