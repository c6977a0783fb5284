"""A window against a calendar that looks at the clock on the wall in every single minute."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_omnichat.campaign.checks.send_window import HORIZON, Never, Open, SendWindow, Shut
from tests.support.moments import NEW_YORK, ZURICH, utc

ZONES = (
    ZURICH,
    NEW_YORK,
    "Australia/Sydney",
    "Australia/Lord_Howe",  # half an hour of daylight saving
    "Asia/Kathmandu",  # +05:45, always
    "Pacific/Chatham",  # +12:45 and +13:45
    "Pacific/Apia",
    "Antarctica/Troll",  # two hours of daylight saving
    "Africa/Casablanca",  # back for Ramadan
    "Atlantic/Azores",  # set at midnight
    "America/Santiago",  # set at midnight, on the other half of the earth
    "America/Havana",
    "Asia/Kolkata",
    "UTC",
)
# Ramadan; America's, Europe's and Australia's spring and autumn; Apia's lost day.
PERIODS = ("2026-03-05", "2026-03-27", "2026-10-20")
MORE_PERIODS = (
    *PERIODS,
    *("2026-02-05", "2026-09-01", "2026-09-22", "2027-01-31", "2027-03-05", "2027-03-22", "2027-09-20", "2027-10-25"),
    "2011-12-18",
)
LONG = timedelta(days=26)
MINUTES = LONG // timedelta(minutes=1)
WEEK = 7 * 24 * 60


@cache
def shown_by_the_clock(zone: str, period: str) -> array[int]:
    """For each minute from the beginning of the period: the minute of the week that the clock shows."""
    calendar, first = ZoneInfo(zone), int(utc(period).timestamp())
    shown = array("H")
    for minute in range(MINUTES):
        wall = datetime.fromtimestamp(first + 60 * minute, calendar)
        assert wall.second == 0
        shown.append((wall.weekday() * 24 + wall.hour) * 60 + wall.minute)
    return shown


def is_inside(zones: Sequence[str], period: str, opens: int, closes: int, days: set[int]) -> bytes:
    """For each minute from the beginning of the period: whether it is inside in all zones."""
    allowed = bytearray(WEEK)
    for day in days:
        for minute in range(opens, closes if closes > opens else closes + 24 * 60):
            allowed[(day * 24 * 60 + minute) % WEEK] = 1
    inside = int.from_bytes(b"\x01" * MINUTES)
    for zone in zones:
        inside &= int.from_bytes(bytes(map(allowed.__getitem__, shown_by_the_clock(zone, period))))
    return inside.to_bytes(MINUTES)


def expected(inside: bytes, period: str, now: datetime) -> Open | Shut | Never:
    begin = utc(period)
    minute = (now - begin) // timedelta(minutes=1)
    is_open = bool(inside[minute])
    found = inside.find(0 if is_open else 1, minute)
    change = begin + timedelta(minutes=found) if found >= 0 else None
    if change is not None and change - now > HORIZON:
        change = None
    if is_open:
        return Open(change)
    return Shut(change) if change else Never()


def worth_asking(inside: bytes, period: str) -> Iterator[datetime]:
    """The first and the last moments of what is open and of what is shut."""
    last = LONG - HORIZON
    for minute in range(1, last // timedelta(minutes=1)):
        if inside[minute] != inside[minute - 1]:
            change = utc(period) + timedelta(minutes=minute)
            yield from (change - timedelta(microseconds=1), change, change + timedelta(seconds=61))


def clock_time(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


edges = st.sampled_from([0, 1, 59, 60, 90, 119, 120, 121, 149, 150, 180, 540, 1200, 1380, 1410, 1439])
minutes_of_day = edges | st.integers(0, 1439)
hours_drawn = st.tuples(minutes_of_day, minutes_of_day | st.just(1440)).filter(lambda hours: hours[0] != hours[1])
one_minute = st.integers(0, 1439).map(lambda opens: (opens, opens + 1))
days_drawn = st.just({6}) | st.just(set(range(7))) | st.sets(st.integers(0, 6), min_size=1)


def against_the_calendar(zones: list[str], period: str, hours: tuple[int, int], days: set[int], at_minute: int) -> None:
    inside = is_inside(zones, period, *hours, days)
    names = [("mon", "tue", "wed", "thu", "fri", "sat", "sun")[day] for day in days]
    window = SendWindow(clock_time(hours[0]), clock_time(hours[1]), days=names)
    # In the order of time, as rows are asked about, and then somewhere in what was, where nothing kept may be used.
    moments = list(itertools.islice(worth_asking(inside, period), 30))
    for now in (*moments, utc(period) + timedelta(minutes=at_minute, seconds=at_minute % 60)):
        assert window.at(tuple(zones), now) == expected(inside, period, now), now


def drawn_from(periods: tuple[str, ...]) -> Any:
    return given(
        zones=st.lists(st.sampled_from(ZONES), min_size=1, max_size=4, unique=True),
        period=st.sampled_from(periods),
        hours=hours_drawn | one_minute,
        days=days_drawn,
        at_minute=st.integers(0, (LONG - HORIZON) // timedelta(minutes=1) - 1),
    )


@drawn_from(PERIODS)
@settings(max_examples=60)
def test_it_says_what_a_calendar_of_every_minute_says(zones, period, hours, days, at_minute):
    against_the_calendar(zones, period, hours, days, at_minute)


@pytest.mark.slow
@drawn_from(MORE_PERIODS)
@settings(max_examples=2000)
def test_it_says_what_a_calendar_of_every_minute_says_thousands_of_times(zones, period, hours, days, at_minute):
    against_the_calendar(zones, period, hours, days, at_minute)


@pytest.mark.slow
@pytest.mark.parametrize("zone", ZONES)
def test_every_hour_that_is_skipped_or_repeated_is_met(zone):
    """Windows of a minute to two hours, from every quarter of an hour of the weekend's nights: clocks are set there."""
    for period in MORE_PERIODS:
        for opens, long in itertools.product((*range(0, 225, 15), *range(1350, 1440, 15)), (1, 15, 30, 60, 120)):
            against_the_calendar([zone], period, (opens, (opens + long - 1) % 1440 + 1), {5, 6}, 1000)


def test_the_calendar_itself_has_the_clocks_being_set():
    """Else the tests above would show little."""
    for zone in set(ZONES) - {"Asia/Kathmandu", "Asia/Kolkata", "UTC", "Pacific/Apia"}:
        steps = set()
        for period in PERIODS:
            shown = shown_by_the_clock(zone, period)
            steps |= {(after - before) % WEEK for before, after in itertools.pairwise(shown)} - {1}
        assert steps, zone
