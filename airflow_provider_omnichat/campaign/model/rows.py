"""
The rows of a list, from what the user gave to what may be sent.

There is one of each for every row, so they are named tuples: a frozen dataclass takes four times as long to make.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.api.models import Invite
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode

_SHORTEST_NUMBER = 6
"""Digits: what is shorter is no number that could be called."""


class Row(NamedTuple):
    """
    One row of the user's list.

    :param position: in the list, from 1.
    :param fields: by column name, as they came.
    """

    position: int
    fields: Mapping[str, Any]


def row_name(position: int, key: str | None) -> str:
    """
    Name a row for people.

    :param position: in the list, from 1.
    :param key: the user's name of the row; None where there is none.
    """
    return f"row {position} ({key})" if key else f"row {position}"


def shown_key(key: str | None, to: str) -> str | None:
    """
    Give the user's name of a row as it may be shown: one that is the phone number itself is left out.

    :param key: the user's name of the row; None where there is none.
    :param to: the row's number.
    """
    key = " ".join(key.split()) if key else ""
    if not key:
        return None
    digits = _digits(key).lstrip("0")
    return None if len(digits) >= _SHORTEST_NUMBER and _digits(to).endswith(digits) else key


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))


class RowSourceError(OmnichatError, ValueError):
    """The list as a whole cannot be read as what it claims to be; the text says where, and shows none of its rows."""


class ListFailedError(OmnichatError):
    """What gives the list, a file or a function or iterator of the user's, has failed; another try may get further."""


@dataclass(frozen=True, slots=True)
class BrokenRow:
    """
    A row that stands in the list and cannot be read: it counts, and ends as ``invalid``.

    :param position: in the list, from 1.
    :param reason: why it cannot be read, with the line of the file; nothing of its content.
    """

    position: int
    reason: Reason


class RowSource(Protocol):
    """What gives the rows of a list: a list in memory, a file, a query, a function."""

    def open(self, *, reads_twice: bool) -> AbstractContextManager[Iterable[Row | BrokenRow]]:
        """
        Give the rows, for as long as the context lasts.

        :param reads_twice: whether they are read more than once, each time from the first.
        :raises RowSourceError: it is no list, or lacks a column; also while the first row is read.
        :raises ListFailedError: what gives it has failed; also while rows are read.
        """


class Wait(NamedTuple):
    """
    Why an invite cannot be sent now.

    :param opens_at: the first moment (UTC) at which it may be.
    :param until: the same for people, on the recipient's clock.
    """

    opens_at: datetime
    until: str

    @property
    def reason(self) -> Reason:
        """The wait as the reason of a row."""
        return Reason(ReasonCode.OUTSIDE_SEND_WINDOW, "outside the send window until it opens", detail=self.until)


class Candidate(NamedTuple):
    """
    A row that passed the checks.

    :param position: of its row in the list, from 1.
    :param key: the user's name of the row, such as a customer id; None where there is none.
    :param invite: what to send.
    :param recipient: the name under which the ledger knows the recipient.
    :param identity: the number by which the person is known.
    :param closes_at: POSIX time from which on it may not be sent, because it is late where the recipient lives; None
        for any time.
    :param wait: it may not be sent yet; None for at once.
    """

    position: int
    key: str | None
    invite: Invite
    recipient: str
    identity: str
    closes_at: float | None = None
    wait: Wait | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """
    Why a row that could be sent shall not be.

    :param outcome: how the row ends.
    :param reason: why.
    """

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
    """
    How one row ended: the row of the results, with the whole number.

    :param position: of the row in the list, from 1.
    :param key: the user's name of the row; None where there is none.
    :param to: the number as it was sent, or as it stood in the row where it could not be read.
    :param outcome: one of the eight words.
    :param at: when it ended, ISO 8601 in UTC.
    :param message_id: of the vendor; None where there is none.
    :param status_id: of the vendor's status.
    :param status_group: ``groupId`` of the vendor's status.
    :param status_name: for people; code decides by group and id.
    :param message_count: number of SMS segments as the vendor counted them.
    :param attempts: requests made in the try that ended it.
    :param reason: why it was not accepted; None where it was, or where nobody knows.
    """

    position: int
    key: str | None
    to: str
    outcome: Outcome
    at: str
    message_id: str | None = None
    status_id: int | None = None
    status_group: int | None = None
    status_name: str | None = None
    message_count: int | None = None
    attempts: int = 0
    reason: Reason | None = None

    @property
    def error(self) -> str | None:
        """Why it was not accepted, for people."""
        return None if self.reason is None else str(self.reason)
