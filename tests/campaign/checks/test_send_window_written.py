"""Hours and days as they are written down."""

from __future__ import annotations

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
    window = SendWindow.of(written)
    assert (window.opens, window.closes) == minutes


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("09:00-20:00", "must be two times"),
        ("09", "must be two times"),
        (("09:00",), "must be two times"),
        (("09:00", "12:00", "20:00"), "must be two times"),
        ({"09:00", "20:00"}, "must be two times"),
        (None, "must be two times"),
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
    assert SendWindow.of(("09:00", "20:00"), written).days == days


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("", "names no day; leave it out for every day"),
        ([], "names no day"),
        (",", "names no day"),
        ("mon tue", "'mon tue' is no day"),
        ("mo", "'mo' is no day"),
        ("Montag", "'Montag' is no day"),
        ("mon-", "'' is no day"),
        ("mon-wed-fri", "'mon-wed-fri' is no day"),
        ([0, 1], "0 is no day"),
        (3, "3 is no day"),
        (b"mon", "b'mon' is no day"),
        ([["mon"]], "['mon'] is no day"),
    ],
)
def test_days_that_are_none_are_refused_by_name(written, complaint):
    with pytest.raises(ValueError) as raised:
        SendWindow.of(("09:00", "20:00"), written)
    assert str(raised.value).startswith("send_days: ")
    assert complaint in str(raised.value)
