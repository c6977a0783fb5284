from __future__ import annotations

import pickle
from collections.abc import Sequence
from copy import deepcopy
from datetime import UTC, datetime, time, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_omnichat.campaign.checks import send_window
from airflow_provider_omnichat.campaign.checks.send_window import HORIZON, Never, Open, SendWindow, Shut
from airflow_provider_omnichat.campaign.phone.location import zones_of
from tests.support.moments import LOS_ANGELES, NEW_YORK, ZURICH, utc

WHOLE_DAY = ("00:00", "24:00")


def at(now: str, hours: tuple[str, str], days: str | None = None, zones: str | Sequence[str] = ZURICH) -> Any:
    """Ask a new window; *now* is UTC."""
    return SendWindow(*hours, days=days).at((zones,) if isinstance(zones, str) else tuple(zones), utc(now))


def openings(first: str, count: int, hours: tuple[str, str], days: str | None = None, zones: str = ZURICH) -> list[str]:
    """From when until when it is open, in UTC."""
    window, now = SendWindow(*hours, days=days), utc(first)
    found: list[str] = []
    while len(found) < count:
        answer = window.at((zones,), now)
        if isinstance(answer, Open):
            assert answer.closes_at is not None
            found.append(f"{now:%d %H:%M}-{answer.closes_at:%d %H:%M}")
            now = answer.closes_at
        else:
            assert isinstance(answer, Shut)
            now = answer.opens_at
    return found


# The edges of an ordinary day


def test_it_is_open_from_the_first_minute_up_to_and_without_the_last():
    hours = ("09:00", "20:00")
    assert at("2026-07-01T06:59:59.999999", hours) == Shut(utc("2026-07-01T07:00"))
    assert at("2026-07-01T07:00", hours) == Open(utc("2026-07-01T18:00"))
    assert at("2026-07-01T17:59:59.999999", hours) == Open(utc("2026-07-01T18:00"))
    assert at("2026-07-01T18:00", hours) == Shut(utc("2026-07-02T07:00"))


def test_a_window_of_one_minute():
    assert at("2026-07-01T10:00", ("12:30", "12:31")) == Shut(utc("2026-07-01T10:30"))
    assert at("2026-07-01T10:30:59", ("12:30", "12:31")) == Open(utc("2026-07-01T10:31"))
    assert at("2026-07-01T10:31", ("12:30", "12:31")) == Shut(utc("2026-07-02T10:30"))


def test_until_24_00_is_until_midnight_and_not_beyond():
    assert at("2026-07-01T21:59", ("20:00", "24:00")) == Open(utc("2026-07-01T22:00"))
    assert at("2026-07-01T22:00", ("20:00", "24:00")) == Shut(utc("2026-07-02T18:00"))


def test_from_an_evening_until_00_00_is_the_same_as_until_24_00():
    assert SendWindow("20:00", "00:00") == SendWindow("20:00", "24:00")


def test_whole_days_in_a_row_are_one_opening():
    # 2026-07-06 is a Monday, and 22:00 UTC is midnight.
    assert at("2026-07-06T10:00", WHOLE_DAY, "mon-sat") == Open(utc("2026-07-11T22:00"))
    assert at("2026-07-11T22:00", WHOLE_DAY, "mon-sat") == Shut(utc("2026-07-12T22:00"))


def test_a_window_without_end_never_closes():
    assert at("2026-03-29T00:59", WHOLE_DAY) == Open(None)
    assert at("2026-03-29T00:59", WHOLE_DAY, "mon-sun", [ZURICH, "Pacific/Chatham", "America/Adak"]) == Open(None)


# Over midnight, and days of the week


def test_a_window_over_midnight_belongs_to_the_day_it_opens_on():
    night = ("22:00", "06:00")
    sunday, monday = "2026-07-05", "2026-07-06"
    # 00:30 on Sunday belongs to Saturday, 05:59 on Monday to Sunday.
    assert at("2026-07-04T22:30", night, "sun") == Shut(utc(f"{sunday}T20:00"))
    assert at(f"{sunday}T20:00", night, "sun") == Open(utc(f"{monday}T04:00"))
    assert at(f"{monday}T03:59", night, "sun") == Open(utc(f"{monday}T04:00"))
    assert at(f"{monday}T04:00", night, "sun") == Shut(utc("2026-07-12T20:00"))


def test_nobody_is_written_to_on_a_sunday():
    assert at("2026-07-04T18:00", ("09:00", "20:00"), "mon-sat") == Shut(utc("2026-07-06T07:00"))
    assert at("2026-07-05T10:00", ("09:00", "20:00"), "mon-sat") == Shut(utc("2026-07-06T07:00"))


def test_it_is_the_recipients_sunday_not_the_servers():
    # Sunday 20:00 UTC is Monday 08:00 in Auckland, and Saturday 20:00 UTC is Sunday there.
    auckland = "Pacific/Auckland"
    assert at("2026-07-05T20:00", ("08:00", "20:00"), "mon-sat", auckland) == Open(utc("2026-07-06T08:00"))
    assert isinstance(at("2026-07-04T20:00", ("08:00", "20:00"), "mon-sat", auckland), Shut)


# Clocks put forward


def test_a_window_that_would_open_in_the_skipped_hour_opens_right_after_it():
    # Zurich, 2026-03-29: 02:00 is 03:00, at 01:00 UTC.
    assert at("2026-03-29T00:00", ("02:30", "04:00")) == Shut(utc("2026-03-29T01:00"))
    assert at("2026-03-29T01:00", ("02:30", "04:00")) == Open(utc("2026-03-29T02:00"))


def test_a_window_that_would_close_in_the_skipped_hour_closes_right_before_it():
    assert at("2026-03-29T00:30", ("01:00", "02:30")) == Open(utc("2026-03-29T01:00"))


def test_a_window_inside_the_skipped_hour_does_not_open_on_that_day():
    assert at("2026-03-29T00:00", ("02:00", "03:00")) == Shut(utc("2026-03-30T00:00"))


def test_a_sunday_window_that_is_skipped_once_opens_a_week_later():
    assert at("2026-03-22T01:31", ("02:30", "02:31"), "sun") == Shut(utc("2026-04-05T00:30"))


def test_a_midnight_that_is_skipped():
    # The Azores put their clocks from 00:00 to 01:00.
    assert at("2026-03-29T00:00", ("00:00", "01:00"), zones="Atlantic/Azores") == Shut(utc("2026-03-30T00:00"))
    assert openings("2026-03-28T23:00", 1, ("23:00", "02:00"), "sat", "Atlantic/Azores") == ["29 00:00-29 02:00"]


def test_a_day_that_is_skipped():
    # Samoa had no Friday the 30th in December 2011.
    assert at("2011-12-29T12:00", ("09:00", "20:00"), "fri", "Pacific/Apia") == Shut(utc("2012-01-05T19:00"))
    assert openings("2011-12-29T12:00", 2, WHOLE_DAY, "thu,sat", "Pacific/Apia")[0] == "29 12:00-31 10:00"


# Clocks put back


def test_a_repeated_hour_opens_the_window_twice():
    # Zurich, 2026-10-25: 03:00 is 02:00, at 01:00 UTC.
    assert openings("2026-10-24T22:00", 3, ("02:15", "02:45")) == [
        "25 00:15-25 00:45",
        "25 01:15-25 01:45",
        "26 01:15-26 01:45",
    ]


def test_a_window_that_closes_in_the_repeated_hour_opens_once_more():
    assert openings("2026-10-24T22:00", 2, ("01:00", "02:30")) == ["24 23:00-25 00:30", "25 01:00-25 01:30"]


def test_a_window_that_opens_in_the_repeated_hour_shuts_once_more():
    assert openings("2026-10-24T22:00", 2, ("02:30", "05:00")) == ["25 00:30-25 01:00", "25 01:30-25 04:00"]


def test_a_window_around_the_repeated_hour_is_an_hour_longer():
    assert openings("2026-10-24T22:00", 1, ("01:00", "04:00")) == ["24 23:00-25 03:00"]


def test_half_an_hour_repeated_on_lord_howe():
    # 2026-04-05: 02:00 is 01:30, at 15:00 UTC of the day before; the window is open for both halves without a break.
    assert openings("2026-04-04T12:00", 1, ("01:30", "02:00"), zones="Australia/Lord_Howe") == ["04 14:30-04 15:30"]


def test_a_saturday_that_ends_twice():
    # Chile puts its clocks from midnight back to 23:00: the same Saturday's last hour again.
    assert openings("2026-04-04T22:00", 1, ("23:00", "24:00"), "sat", "America/Santiago") == ["05 02:00-05 04:00"]


# Several zones


def test_with_several_zones_it_is_open_when_it_is_in_all_of_them():
    both = [NEW_YORK, LOS_ANGELES]
    assert at("2026-07-01T13:00", ("09:00", "20:00"), zones=both) == Shut(utc("2026-07-01T16:00"))
    assert at("2026-07-01T16:00", ("09:00", "20:00"), zones=both) == Open(utc("2026-07-02T00:00"))
    assert at("2026-07-02T00:00", ("09:00", "20:00"), zones=both) == Shut(utc("2026-07-02T16:00"))


def test_with_several_zones_the_day_must_be_allowed_in_all_of_them():
    # Friday's afternoon in Los Angeles is Auckland's Saturday.
    both = [LOS_ANGELES, "Pacific/Auckland"]
    assert at("2026-07-02T22:00", ("08:00", "20:00"), "mon-fri", both) == Open(utc("2026-07-03T03:00"))
    assert at("2026-07-03T22:00", ("08:00", "20:00"), "mon-fri", both) == Shut(utc("2026-07-06T20:00"))


def test_russian_mobile_numbers_can_be_written_to_for_an_hour_a_day_or_never():
    russia = zones_of("79161234567")
    assert at("2026-07-01T12:00", ("09:00", "12:00"), zones=russia) == Never()
    # 20:00 in Kamchatka is 08:00 UTC, 09:00 in Kaliningrad 07:00.
    assert at("2026-07-01T12:00", ("09:00", "20:00"), zones=russia) == Shut(utc("2026-07-02T07:00"))
    assert at("2026-07-02T07:00", ("09:00", "20:00"), zones=russia) == Open(utc("2026-07-02T08:00"))


def test_american_toll_free_numbers_have_no_common_hours():
    assert at("2026-07-01T12:00", ("09:00", "20:00"), zones=zones_of("18005551234")) == Never()
    assert at("2026-07-01T12:00", WHOLE_DAY, zones=zones_of("18005551234")) == Open(None)


def test_never_is_a_matter_of_fifteen_days_also_for_an_answer_that_is_kept():
    # In summer it is never between 9 and 10 in both; Zurich's clocks are put back on 2026-10-25.
    zones, window = (ZURICH, "Africa/Lagos"), SendWindow("09:00", "10:00")
    opens = utc("2026-10-25T08:00")
    for now in (utc("2026-07-01"), utc("2026-10-09T23:59"), opens - HORIZON - timedelta(microseconds=1)):
        assert window.at(zones, now) == Never()
    assert window.at(zones, opens - HORIZON) == Shut(opens)


def test_fixed_offsets_are_zones():
    assert at("2026-03-29T03:30", ("09:00", "20:00"), zones="+05:30") == Open(utc("2026-03-29T14:30"))
    assert at("2026-03-29T03:30", ("09:00", "20:00"), zones="-02:00") == Shut(utc("2026-03-29T11:00"))


# Asking


def test_without_a_zone_or_a_moment_there_is_no_answer():
    window = SendWindow("09:00", "20:00")
    with pytest.raises(ValueError, match="zones: none given"):
        window.at((), utc("2026-07-01"))
    with pytest.raises(ValueError, match="now: has no time zone"):
        window.at((ZURICH,), datetime(2026, 7, 1))  # noqa: DTZ001 - that is the point
    with pytest.raises(ValueError, match="Mars/Olympus"):
        window.at(("Mars/Olympus",), utc("2026-07-01"))


def test_a_moment_may_be_given_in_any_zone_and_the_answer_is_in_utc():
    now = datetime(2026, 7, 1, 12, tzinfo=timezone(timedelta(hours=-9)))
    answer = SendWindow("09:00", "20:00").at((ZURICH,), now)
    assert answer == Shut(utc("2026-07-02T07:00"))
    assert isinstance(answer, Shut)
    assert answer.opens_at.tzinfo is UTC


def test_an_answer_is_looked_up_until_it_is_another_one(monkeypatch):
    window = SendWindow("09:00", "20:00")
    asked: list[tuple[str, ...]] = []
    answer_at = SendWindow._answer_at

    def count(self: SendWindow, zones: tuple[str, ...], now: datetime) -> Any:
        asked.append(zones)
        return answer_at(self, zones, now)

    monkeypatch.setattr(SendWindow, "_answer_at", count)
    for minute in range(24 * 60):
        for zones in ((ZURICH,), (NEW_YORK,)):
            window.at(zones, utc("2026-07-01") + timedelta(minutes=minute))
    # At first, and after each opening and closing; in New York it shuts at midnight UTC, where this begins.
    assert asked.count((ZURICH,)) == 3
    assert asked.count((NEW_YORK,)) == 2


def test_what_is_kept_does_not_grow_without_end(monkeypatch):
    monkeypatch.setattr(send_window, "_MOST_KNOWN", 3)
    window = SendWindow("09:00", "20:00")
    for hour in range(10):
        window.at((f"+0{hour}:00",), utc("2026-07-01"))
        assert len(window._known) <= 3


def test_windows_are_values():
    window = SendWindow("09:00", "20:00", days="mon-sat")
    window.at((ZURICH,), utc("2026-07-01"))
    again = SendWindow(time(9), time(20), days=["mon", "tue", "wed", "thu", "fri", "sat"])
    assert window == again == deepcopy(window) == pickle.loads(pickle.dumps(window))
    assert hash(window) == hash(again)
    assert window != SendWindow("09:00", "20:00")
