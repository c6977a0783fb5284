"""The rows of a list, from what the user gave to what may be sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.api.models import Invite
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.privacy import printable
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode

_SHORTEST_NUMBER_DIGITS = 6
_LONGEST_SHOWN_KEY = 200


# One of each for every row, so they are named tuples: a frozen dataclass takes four times as long to make.
class Row(NamedTuple):
    """One row of the user's list: its position, from 1, and its fields by column name, as they came."""

    position: int
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Columns:
    """The fields of a row that hold the number, its country, and the user's name of the row."""

    to: str = "to"
    region: str | None = None
    key: str | None = None


def row_name(position: int, key: str | None) -> str:
    """Name a row for people, with its key if it has one."""
    return f"row {position} ({key})" if key else f"row {position}"


def shown_key(key: str | None, to: str) -> str | None:
    """Return the key of a row as one line that may be shown, without its phone number; None if it is nothing else."""
    digits, number = _digits(key or "").lstrip("0"), _digits(to)
    if len(digits) >= _SHORTEST_NUMBER_DIGITS and number.endswith(digits):
        return None
    return (
        printable((key or "")[:_LONGEST_SHOWN_KEY], (number,) if len(number) >= _SHORTEST_NUMBER_DIGITS else ()) or None
    )


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))


class RowSourceError(OmnichatError, ValueError):
    """The list as a whole cannot be read as what it claims to be; the text says where, and shows none of its rows."""


class ListFailedError(OmnichatError):
    """The source of the list has failed, a file or the user's function or iterator; another try may get further."""


@dataclass(frozen=True, slots=True)
class BrokenRow:
    """A row that cannot be read: it counts, and ends as ``invalid``. The reason shows nothing of its content."""

    position: int
    reason: Reason


class RowSource(Protocol):
    """The source of a list's rows: a list in memory, a file, a query, a function."""

    def open(self, *, reads_twice: bool) -> AbstractContextManager[Iterable[Row | BrokenRow]]:
        """
        Open the rows, for as long as the context lasts.

        :param reads_twice: whether they are read more than once, each time from the first.
        :raises RowSourceError: it is not a list, or lacks a column; also while the first row is read.
        :raises ListFailedError: the source has failed; also while rows are read.
        """


class Wait(NamedTuple):
    """Why an invite cannot be sent now: *opens_at* in UTC, *until* for people, on the recipient's clock."""

    opens_at: datetime
    until: str

    @property
    def reason(self) -> Reason:
        """The wait as the reason of a row."""
        return Reason(ReasonCode.OUTSIDE_SEND_WINDOW, "outside the send window until it opens", detail=self.until)


class Candidate(NamedTuple):
    """A row that passed the checks."""

    position: int
    key: str | None  # the user's name of the row, such as a customer id
    invite: Invite
    recipient: str  # the name under which the ledger knows the recipient
    identity: str  # the number by which the person is known
    closes_at: float | None = None  # POSIX time from which it is too late in the day where the recipient lives
    wait: Wait | None = None
    again: bool = False  # whether it is a repeat of one in doubt

    def unsent(self, outcome: Outcome, reason: Reason | None = None) -> Result:
        """Return the result of a row that ends now, without a request."""
        return Result.unsent(self.position, self.key, self.invite.to, outcome, reason)


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a row ends that could be sent and must not be, and why."""

    outcome: Outcome
    reason: Reason

    @classmethod
    def by_rule(cls, text: str, detail: str = "") -> Refusal:
        """
        Return the refusal of a rule of your own: the row ends as ``suppressed``, with the code ``refused_by_rule``.

        :param text: why, the same for all rows: ``"is not a customer of the shop"``. No numbers.
        :param detail: what belongs to this row alone.
        """
        return cls(Outcome.SUPPRESSED, Reason(ReasonCode.REFUSED_BY_RULE, text, detail=detail))


class Result(NamedTuple):
    """How one row ended: the row of the results, with the whole number."""

    position: int
    key: str | None
    to: str  # the number as it was sent, or as the row had it if it could not be read
    outcome: Outcome
    at: str  # when it ended, ISO 8601 in UTC
    message_id: str | None = None
    status_id: int | None = None
    status_group: int | None = None  # the vendor's groupId; code decides by it and the id, never by the name
    status_name: str | None = None
    message_count: int | None = None  # SMS segments as the vendor counted them
    attempts: int = 0  # requests made in the try that ended it
    reason: Reason | None = None

    @classmethod
    def unsent(cls, position: int, key: str | None, to: str, outcome: Outcome, reason: Reason | None = None) -> Result:
        """Build the result of a row that ends now, without a request."""
        return cls(position, key, to, outcome, datetime.now(UTC).isoformat(timespec="milliseconds"), reason=reason)

    @property
    def error(self) -> str | None:
        """Why it was not accepted, for people."""
        return None if self.reason is None else str(self.reason)
