"""Time zones by name, as rows contain them, and their calendars."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta, timezone, tzinfo
from functools import lru_cache

from airflow_provider_omnichat.api.errors import InvalidInviteError
from airflow_provider_omnichat.api.privacy import describe_text, scrub
from airflow_provider_omnichat.api.reasons import ReasonCode

_OFFSET = re.compile(r"([+-])(0[0-9]|1[0-4]):([0-5][0-9])")
_NO_PLACES = frozenset({"Factory", "localtime"})
_LONGEST_SHOWN = 40
_ADVICE = "write an IANA name such as Europe/Zurich, or an offset such as +02:00"


def checked_zone(name: object) -> str:
    """
    Return a time zone as the IANA database writes it; raise InvalidInviteError for an unknown one.

    It is an IANA name in any case, with underscores or spaces, or a fixed offset from UTC of at most 14 hours.
    """
    if not isinstance(name, str):
        raise _not_a_zone(f"must be a text, is a {type(name).__name__}")
    text = name.strip()
    if not text:
        raise _not_a_zone("is empty")
    found = known_zones().get(text.replace(" ", "_").casefold())
    if found is not None:
        return found
    if _OFFSET.fullmatch(text) and text[1:] <= "14:00":
        return text
    # Anything long or with spaces may be a message or a person's name.
    is_name = len(text) <= _LONGEST_SHOWN and not any(map(str.isspace, text))
    raise _not_a_zone("is no known time zone", scrub(text) if is_name else describe_text(text))


@lru_cache(maxsize=2048)
def clock(zone: str) -> tzinfo:
    """Return the calendar of a zone, as :func:`checked_zone` writes it; raise ValueError if it is unknown here."""
    offset = _OFFSET.fullmatch(zone)
    if offset:
        sign, hours, minutes = offset.groups()
        ahead = timedelta(hours=int(hours), minutes=int(minutes))
        return timezone(ahead if sign == "+" else -ahead)
    # Airflow has loaded it already; a program without Airflow loads it only if it needs it.
    import pendulum

    return pendulum.timezone(zone)


@lru_cache(maxsize=1)
def known_zones() -> Mapping[str, str]:
    """Return the names of the time zones known here, by the name in lower case."""
    import pendulum

    return {name.casefold(): name for name in pendulum.timezones() if name not in _NO_PLACES}


def _not_a_zone(problem: str, shown: str = "") -> InvalidInviteError:
    text, detail = (problem, f"{shown}; {_ADVICE}") if shown else (f"{problem}; {_ADVICE}", "")
    return InvalidInviteError.of("time_zone", ReasonCode.NOT_A_TIME_ZONE, text, detail)
