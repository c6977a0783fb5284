from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_omnichat.api.errors import InvalidInviteError
from airflow_provider_omnichat.campaign.phone.time_zones import checked_zone, clock, known_zones

SUMMER = datetime(2026, 7, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "zone"),
    [
        ("Europe/Zurich", "Europe/Zurich"),
        (" europe/zurich\n", "Europe/Zurich"),
        ("America/New York", "America/New_York"),
        ("AMERICA/PORT-AU-PRINCE", "America/Port-au-Prince"),
        ("utc", "UTC"),
        ("US/Pacific", "US/Pacific"),
        ("+02:00", "+02:00"),
        (" -09:30 ", "-09:30"),
        ("+14:00", "+14:00"),
    ],
)
def test_a_zone_as_people_write_it(written, zone):
    assert checked_zone(written) == zone
    assert clock(zone) is clock(checked_zone(zone))


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        (None, "must be a text, is a NoneType"),
        (2, "must be a text, is a int"),
        ("", "is empty"),
        ("  ", "is empty"),
        ("CEST", "is no known time zone: CEST"),
        ("Europe/Zürich", "is no known time zone: Europe/Zürich"),
        ("GMT+2x", "is no known time zone: GMT+2x"),
        ("+2", "is no known time zone: +2"),
        ("+02:60", "is no known time zone: +02:60"),
        ("+14:30", "is no known time zone: +14:30"),
        ("+24:00", "is no known time zone: +24:00"),
        ("+\u0660\u0662:\u0660\u0660", "is no known time zone"),
        ("Etc/Unknown", "is no known time zone"),
        ("localtime", "is no known time zone"),
        ("Factory", "is no known time zone"),
        ("posixrules", "is no known time zone"),
        ("right/Europe/Zurich", "is no known time zone"),
        ("../../etc/passwd", "is no known time zone"),
        ("/usr/share/zoneinfo/Europe/Zurich", "is no known time zone"),
        ("Europe", "is no known time zone"),
        ("Europe/Zurich\x00", "is no known time zone"),
    ],
)
def test_what_is_no_zone_is_refused_by_name(written, complaint):
    with pytest.raises(InvalidInviteError) as raised:
        checked_zone(written)
    assert raised.value.reason.field == "time_zone"
    assert str(raised.value).startswith("time_zone: ")
    assert complaint in str(raised.value)
    assert str(raised.value).endswith("; write an IANA name such as Europe/Zurich, or an offset such as +02:00")


@pytest.mark.parametrize("stray", ["+41793026727", "Vreni Muster", "Hello Vreni, follow us", "x" * 1000])
def test_what_strayed_into_the_column_is_not_shown(stray):
    with pytest.raises(InvalidInviteError) as raised:
        checked_zone(stray)
    assert stray not in str(raised.value)
    assert len(str(raised.value)) < 150


def test_every_name_of_the_database_has_a_calendar():
    names = set(known_zones().values())
    assert len(names) > 590
    for name in names:
        assert abs(SUMMER.astimezone(clock(checked_zone(name))).utcoffset() or timedelta()) <= timedelta(hours=14)


@pytest.mark.parametrize(("zone", "hours"), [("Europe/Zurich", 2), ("+05:30", 5.5), ("-09:30", -9.5), ("-00:30", -0.5)])
def test_a_calendar_tells_how_far_ahead_the_clock_is(zone, hours):
    assert SUMMER.astimezone(clock(zone)).utcoffset() == timedelta(hours=hours)


def test_an_unknown_calendar_is_a_value_error():
    with pytest.raises(ValueError, match="Mars/Olympus"):
        clock("Mars/Olympus")
