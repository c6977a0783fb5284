"""The hours in which people may be written to, on their own clock."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, datetime, time, timedelta, tzinfo
from functools import lru_cache, partial, reduce
from itertools import pairwise
from typing import Literal, TypeAlias

from airflow_provider_omnichat.api.errors import InvalidInviteError
from airflow_provider_omnichat.campaign.model.arguments import one_of
from airflow_provider_omnichat.campaign.model.sentences import cut
from airflow_provider_omnichat.campaign.phone.time_zones import checked_zone, clock

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_TIME = re.compile(r"([0-9]{1,2}):([0-9]{2})")
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_MIDNIGHT = 24 * 60
# How far ahead is looked. A window of one day a week whose hour is skipped once opens within it.
HORIZON = timedelta(days=15)
# The answer "not within the horizon" stays valid for at least a day.
_VIEW = HORIZON + 2 * _DAY
_MOST_KNOWN = 4096
_LONGEST_SHOWN = 60

_Interval: TypeAlias = tuple[datetime, datetime]
_Changes: TypeAlias = tuple[tuple[datetime, timedelta], ...]


@dataclass(frozen=True, slots=True)
class Open:
    """It may be sent now, until *closes_at* (UTC); None if that is not within :data:`HORIZON`."""

    closes_at: datetime | None


@dataclass(frozen=True, slots=True)
class Shut:
    """It may not be sent before *opens_at* (UTC)."""

    opens_at: datetime


@dataclass(frozen=True, slots=True)
class Never:
    """No moment within :data:`HORIZON` is inside the window in all zones at once."""


@dataclass(frozen=True, slots=True)
class _Answer:
    since: datetime
    until: datetime
    answer: Open | Shut | Never


@dataclass(frozen=True)
class SendWindow:
    """
    When people may be written to: hours of the day, on some days of the week, by the clock where they live.

    A recipient is inside the window while that clock shows a time from *opens* up to, but not including, *closes*. A
    window over midnight belongs to the day on which it opens. Where daylight saving sets the clock back, an hour is
    shown twice, and both are inside, or neither; where it is put forward, what is skipped was never shown, and a window
    that would open then opens with the first time after it.

    :param opens: ``"09:00"``, as ``H:MM``, ``HH:MM`` or :class:`datetime.time`.
    :param closes: in the same form, or ``"24:00"``. A time before *opens* is on the next day.
    :param days: on which it opens, as English names, whole or three letters: ``"mon-sat"``, ``"mon,wed,fri"`` or
        ``["sat", "sun"]``; None for every day.
    :param zone_column: the field with a person's time zone, such as ``Europe/Zurich``. A row without one takes the zone
        of its number; a number that may be in several zones must be inside the window in all of them.
    :param default_zone: for numbers that do not say their zone; without it, such rows are invalid.
    :param on_closed: what happens to recipients outside the window: ``"defer"`` sends to the others, frees the worker
        until the window opens, and goes on; ``"skip"`` leaves them as ``held``.
    :raises ValueError: names what is wrong, and what to write.
    """

    opens: str | time = field(compare=False)
    closes: str | time = field(compare=False)
    _: KW_ONLY
    days: str | Iterable[str] | None = field(default=None, compare=False)
    zone_column: str | None = None
    default_zone: str | None = None
    on_closed: Literal["defer", "skip"] = "defer"
    minutes: tuple[int, int] = field(init=False, repr=False)
    """After midnight; the second is more than 24 hours for a window over the next midnight."""
    weekdays: tuple[int, ...] = field(init=False, repr=False)
    """The days as numbers; 0 is Monday."""
    _known: dict[tuple[str, ...], _Answer] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        one_of("send_window.on_closed", self.on_closed, ("defer", "skip"))
        opens, closes = _window_minutes(self.opens, self.closes)
        set_field = partial(object.__setattr__, self)
        set_field("minutes", (opens, closes if closes > opens else closes + _MIDNIGHT))
        set_field("weekdays", _numbers_of(self.days))
        if self.days is not None:  # a set would be shown in another order, and so change the DAG, in each parse
            set_field("days", ",".join(_DAYS[day][:3] for day in self.weekdays))
        if self.default_zone is not None:
            try:
                set_field("default_zone", checked_zone(self.default_zone))
            except InvalidInviteError as error:
                raise ValueError(str(error.reason._replace(field="send_window.default_zone"))) from None

    @classmethod
    def of(cls, given: object) -> SendWindow | None:
        """Return the window of an operator's argument: one as it is, one made of a pair of times, or None."""
        if given is None or isinstance(given, SendWindow):
            return given
        if isinstance(given, Sequence) and not isinstance(given, str | bytes) and len(given) == 2:
            return cls(*given)
        raise ValueError(
            'send_window: must be two times, from and until, such as ("09:00", "20:00"), or'
            f' SendWindow("09:00", "20:00", days="mon-sat"); is {_shown(given)}'
        )

    def at(self, zones: tuple[str, ...], now: datetime) -> Open | Shut | Never:
        """Return whether the moment *now* is inside the window in all *zones*, and until when."""
        if now.tzinfo is None:
            raise ValueError("now: has no time zone")
        known = self._known.get(zones)
        if known is None or not known.since <= now < known.until:
            known = self._answer_at(zones, now.astimezone(UTC))
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[zones] = known
        return known.answer

    def _answer_at(self, zones: tuple[str, ...], now: datetime) -> _Answer:
        if not zones:
            raise ValueError("zones: none given; give at least one time zone")
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        end = today + _VIEW
        # Zones whose clocks agree are one in this set.
        clocks = {_clock_changes(zone, today) for zone in zones}
        openings = reduce(_overlaps, map(self._openings, clocks))
        opens, closes = next((opening for opening in openings if opening[1] > now), (end, end))
        is_open = opens <= now
        change = closes if is_open else opens
        if change - now <= HORIZON:
            return _Answer(now, change, Open(change) if is_open else Shut(change))
        # Later, what is beyond the horizon now comes within it.
        return _Answer(now, change - HORIZON, Open(None) if is_open else Never())

    def _openings(self, changes: _Changes) -> list[_Interval]:
        found: list[_Interval] = []
        for (since, offset), (until, _) in pairwise(changes):
            for opens, closes in self._local_openings(
                since.replace(tzinfo=None) + offset, until.replace(tzinfo=None) + offset
            ):
                begin, end = (opens - offset).replace(tzinfo=UTC), (closes - offset).replace(tzinfo=UTC)
                if found and found[-1][1] == begin:
                    found[-1] = (found[-1][0], end)
                else:
                    found.append((begin, end))
        return found

    def _local_openings(self, since: datetime, until: datetime) -> Iterator[_Interval]:
        """Yield the intervals inside the window, by a clock that is not set in this time."""
        day = datetime.combine(since.date(), time()) - _DAY  # whose window may reach over midnight
        while day < until:
            if day.weekday() in self.weekdays:
                opens = max(since, day + timedelta(minutes=self.minutes[0]))
                closes = min(until, day + timedelta(minutes=self.minutes[1]))
                if opens < closes:
                    yield opens, closes
            day += _DAY


def _overlaps(one: list[_Interval], other: list[_Interval]) -> list[_Interval]:
    found = []
    at_one = at_other = 0
    while at_one < len(one) and at_other < len(other):
        begin = max(one[at_one][0], other[at_other][0])
        end = min(one[at_one][1], other[at_other][1])
        if begin < end:
            found.append((begin, end))
        if one[at_one][1] == end:
            at_one += 1
        else:
            at_other += 1
    return found


@lru_cache(maxsize=2048)
def _clock_changes(zone: str, today: datetime) -> _Changes:
    """Return when a zone's offset from UTC changes, with the new offset, from *today* to the end of view."""
    # No library returns these moments, so they are searched for, a day at a time. No clock has been set twice within 24
    # hours since 1970: the closest two changes in the database are a week apart.
    calendar = clock(zone)
    offset = _offset(calendar, today)
    changes = [(today, offset)]
    for number in range(_VIEW // _DAY):
        before, after = today + number * _DAY, today + (number + 1) * _DAY
        offset_after = _offset(calendar, after)
        if offset_after != offset:
            while after - before > _SECOND:
                middle = before + (after - before) // _SECOND // 2 * _SECOND
                if _offset(calendar, middle) == offset:
                    before = middle
                else:
                    after = middle
            changes.append((after, offset_after))
            offset = offset_after
    return (*changes, (today + _VIEW, offset))


def _offset(calendar: tzinfo, moment: datetime) -> timedelta:
    offset = moment.astimezone(calendar).utcoffset()
    assert offset is not None  # every zone has one
    return offset


def _window_minutes(opens: object, closes: object) -> tuple[int, int]:
    minutes = _minutes(opens), _minutes(closes)
    if minutes[0] == _MIDNIGHT:
        raise ValueError('send_window: begins at 24:00, which is the end of a day; write "00:00"')
    if minutes[0] == minutes[1]:
        raise ValueError(
            f'send_window: begins and ends at {opens}, which is no time at all; write ("00:00", "24:00") for the '
            "whole day"
        )
    return minutes


def _minutes(value: object) -> int:
    if isinstance(value, time):
        if value.tzinfo is not None:
            raise ValueError(
                f"send_window: {value} has a time zone; the hours are the recipient's, so give the time without one"
            )
        if value.second or value.microsecond:
            raise ValueError(f"send_window: {value} is not a whole minute")
        return value.hour * 60 + value.minute
    if isinstance(value, str):
        found = _TIME.fullmatch(value.strip())
        hour, minute = map(int, found.groups()) if found else (99, 99)
        if (hour < 24 and minute < 60) or (hour, minute) == (24, 0):
            return hour * 60 + minute
    quoted = "" if isinstance(value, str) else "in quotes, "
    raise ValueError(f'send_window: {_shown(value)} is not a time of the day; write it {quoted}from "00:00" to "24:00"')


def _numbers_of(days: object) -> tuple[int, ...]:
    if days is None:
        return tuple(range(7))
    if not isinstance(days, Iterable) or isinstance(days, bytes):
        raise _not_days(days)
    found: set[int] = set()
    for item in [days] if isinstance(days, str) else days:
        if not isinstance(item, str):
            raise _not_days(item)
        for part in filter(None, map(str.strip, item.split(","))):
            first, *last = map(_number_of, part.split("-"))
            if len(last) > 1:
                raise _not_days(part)
            # fri-mon goes over the weekend.
            found.update((first + more) % 7 for more in range((last[0] - first) % 7 + 1 if last else 1))
    if not found:
        raise ValueError("send_window.days: names no day; leave it out for every day")
    return tuple(sorted(found))


def _number_of(day: str) -> int:
    name = day.strip().casefold()
    for number, whole in enumerate(_DAYS):
        if name in (whole, whole[:3]):
            return number
    raise _not_days(day)


def _not_days(given: object) -> ValueError:
    return ValueError(
        f"send_window.days: {_shown(given)} is not a day of the week; write English names, whole or three letters: "
        '"mon-sat", "mon,wed,fri" or ["sat", "sun"]'
    )


def _shown(given: object) -> str:
    return cut(repr(given), _LONGEST_SHOWN)
