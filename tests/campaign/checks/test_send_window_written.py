"""Hours and days as they are written down."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, time

import pytest

from airflow_provider_omnichat.campaign.checks.send_window import SendWindow


@pytest.mark.parametrize(
    ("written", "minutes"),
    [
        (("09:00", "20:00"), (540, 1200)),
        (("9:00", "20:00"), (540, 1200)),
        ([" 09:00 ", "24:00"], (540, 1440)),
        ((time(9, 30), "20:15"), (570, 1215)),
        (("22:00", "06:00"), (1320, 1800)),
        (("00:00", "00:01"), (0, 1)),
    ],
)
def test_hours(written, minutes):
    for window in (SendWindow.of(written), SendWindow(*written)):
        assert window is not None
        assert window.minutes == minutes


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("09:00-20:00", "must be two times"),
        ("09", "must be two times"),
        (("09:00",), "must be two times"),
        (("09:00", "12:00", "20:00"), "must be two times"),
        ({"09:00", "20:00"}, "must be two times"),
        ((540, 1200), "540 is not a time of the day; write it in quotes"),
        (("9", "20:00"), "'9' is not a time"),
        (("09:00", "25:00"), "'25:00' is not a time"),
        (("09:60", "20:00"), "'09:60' is not a time"),
        (("09:00", "24:01"), "'24:01' is not a time"),
        (("09:00:00", "20:00"), "'09:00:00' is not a time"),
        (("9am", "8pm"), "'9am' is not a time"),
        (("09:00", "20:00\n21:00"), "is not a time"),
        (("09:00", None), "None is not a time"),
        (("09:00", "x" * 1000), "…"),
        (("24:00", "06:00"), 'write "00:00"'),
        (("09:00", "09:00"), 'write ("00:00", "24:00")'),
        (("00:00", "0:00"), 'write ("00:00", "24:00")'),
        ((time(9, tzinfo=UTC), time(20)), "the hours are the recipient's"),
        ((time(9, 0, 1), time(20)), "not a whole minute"),
    ],
)
def test_hours_that_are_none_are_refused_by_name(written, complaint):
    with pytest.raises(ValueError) as raised:
        SendWindow.of(written)
    assert str(raised.value).startswith("send_window: ")
    assert complaint in str(raised.value)
    assert len(str(raised.value)) < 250


@pytest.mark.parametrize(
    ("written", "days"),
    [
        (None, {0, 1, 2, 3, 4, 5, 6}),
        ("mon-sat", {0, 1, 2, 3, 4, 5}),
        ("mon,tue,fri", {0, 1, 4}),
        (" Monday , WED-thursday,", {0, 2, 3}),
        ("fri-mon", {4, 5, 6, 0}),
        ("sun-sun", {6}),
        ("tue - mon", {0, 1, 2, 3, 4, 5, 6}),
        (["mon", "Sunday", "tue-wed"], {0, 1, 2, 6}),
        ({"sat", "sun"}, {5, 6}),
    ],
)
def test_days(written, days):
    assert set(SendWindow("09:00", "20:00", days=written).weekdays) == days


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("", "names no day; leave it out for every day"),
        ([], "names no day"),
        (",", "names no day"),
        ("mon tue", "'mon tue' is not a day"),
        ("mo", "'mo' is not a day"),
        ("Montag", "'Montag' is not a day"),
        ("mon-", "'' is not a day"),
        ("mon-wed-fri", "'mon-wed-fri' is not a day"),
        ([0, 1], "0 is not a day"),
        (3, "3 is not a day"),
        (b"mon", "b'mon' is not a day"),
        ([["mon"]], "['mon'] is not a day"),
    ],
)
def test_days_that_are_none_are_refused_by_name(written, complaint):
    with pytest.raises(ValueError) as raised:
        SendWindow("09:00", "20:00", days=written)
    assert str(raised.value).startswith("send_window.days: ")
    assert complaint in str(raised.value)


def test_a_window_is_taken_as_it_is_and_none_is_none():
    window = SendWindow("09:00", "20:00", days="sat")
    assert SendWindow.of(window) is window
    assert SendWindow.of(None) is None


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"on_closed": "wait"}, "send_window.on_closed must be one of defer, skip, not 'wait'"),
        ({"default_zone": "Mars/Olympus"}, "send_window.default_zone: is no known time zone"),
        ({"default_zone": 1}, "send_window.default_zone: must be a text"),
    ],
)
def test_what_else_is_wrong_is_refused_by_name(given, complaint):
    with pytest.raises(ValueError, match=re.escape(complaint)):
        SendWindow("09:00", "20:00", **given)


def test_what_a_window_shows_is_the_same_in_each_parse():
    window = SendWindow("09:00", "20:00", days={"sun", "mon"}, default_zone="europe/zurich")
    assert repr(window) == (
        "SendWindow(opens='09:00', closes='20:00', days='mon,sun', zone_column=None, default_zone='Europe/Zurich',"
        " on_closed='defer')"
    )
    assert replace(window) == window
    assert replace(window, on_closed="skip").weekdays == (0, 6)
