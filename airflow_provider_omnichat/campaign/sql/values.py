"""Values as a column of any database takes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from airflow_provider_omnichat.api.body import valid_text
from airflow_provider_omnichat.campaign.model.names import distinct_name
from airflow_provider_omnichat.campaign.sql.written_table import NAME_LENGTH

_LARGEST_INTEGER = 2**31 - 1
_ESCAPE = "!"


def stored_name(name: str) -> str:
    """Return a name in a form that its column can hold and compares equal to no other name; unchanged if possible."""
    return distinct_name(name, clean(name).rstrip(" "), NAME_LENGTH)  # MySQL compares without spaces at the end


def clean(text: str) -> str:
    """Replace what databases do not take in a text: NUL, and halves of characters."""
    return valid_text(text).replace("\x00", "\N{REPLACEMENT CHARACTER}")


def storable(text: str | None, length: int | None = None) -> str | None:
    """Return a text as a column takes it, of so many characters at most; None stays None."""
    return None if text is None else clean(str(text))[:length]


def integer(value: int | None) -> int | None:
    """Leave out what no integer column takes."""
    return value if value is not None and abs(value) <= _LARGEST_INTEGER else None


def stamp(at: datetime) -> str:
    """Write a time as UTC, in words that all databases read and that sort as times do."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def moment(value: object) -> datetime:
    """Read a time in UTC from a column without a zone; SQLite has texts."""
    at = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def flat(rows: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Return the values of rows one after the other, as a statement with many rows takes them."""
    return tuple(value for row in rows for value in row)


def contains(column: str, text: str, placeholder: str) -> tuple[str, str]:
    """Return a condition, and its parameter, for values that contain a text, in any case that the database knows."""
    pattern = text
    for special in (_ESCAPE, "%", "_"):
        pattern = pattern.replace(special, _ESCAPE + special)
    return f"LOWER({column}) LIKE LOWER({placeholder}) ESCAPE '{_ESCAPE}'", f"%{pattern}%"
