"""An invite, and the vendor's answer to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_omnichat.api.outcomes import Delivery, Outcome, delivery_of_status, outcome_of_status
from airflow_provider_omnichat.api.privacy import describe_text, mask_number, printable

if TYPE_CHECKING:
    from airflow_provider_omnichat.api.wire import HttpRequest, HttpResponse


@dataclass(frozen=True, slots=True)
class Invite(ABC):
    """
    One SMS invite, checked and ready to be sent by one of the vendor's APIs. Its ``repr`` hides number and text.

    :param to: phone number in international format, digits only: ``41793026727``.
    :param message: the text.
    :param message_id: an id of ours, the same for every request of it; None if it has none.
    """

    to: str
    message: str
    _: KW_ONLY
    message_id: str | None = None

    @property
    def contents(self) -> tuple[str, ...]:
        """All that makes it another invite to a person who approves it: the positional fields."""
        return tuple(str(getattr(self, name) or "") for name in self.__match_args__)

    @abstractmethod
    def request(self) -> HttpRequest:
        """Build the request that sends it."""

    @abstractmethod
    def read(self, response: HttpResponse, secrets: Collection[str] = ()) -> InviteAnswer:
        """Return the answer if it was accepted; raise the :class:`.SendError` that says what became of it if not."""

    def with_link(self, link: str) -> str:
        """Return the text as it is received if the vendor makes this link."""
        return self.message

    def __repr__(self) -> str:
        text = describe_text(self.message)
        return f"{type(self).__name__}(to={mask_number(self.to)!r}, message={text}, message_id={self.message_id!r})"


@dataclass(frozen=True, slots=True)
class Status:
    """
    The vendor's status object. Code decides by ``group_id``, then ``id``; names and texts are for people.

    :param group_id: 0 accepted, 1 pending, 2 undeliverable, 3 delivered, 4 expired, 5 rejected; others may come.
    :param id: the reason within the group.
    :param action: the vendor's advice, if it gives any.
    :param raw: the whole object, including fields that are not documented.
    """

    group_id: int | None
    group_name: str | None
    id: int | None
    name: str | None
    description: str | None = field(repr=False)
    action: str | None = field(repr=False)
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, payload: Mapping[str, Any]) -> Status:
        """Read leniently: a field of the wrong type counts as missing, and stays in ``raw``."""
        return cls(
            group_id=as_int(payload.get("groupId")),
            group_name=as_text(payload.get("groupName")),
            id=as_int(payload.get("id")),
            name=as_text(payload.get("name")),
            description=as_text(payload.get("description")),
            action=as_text(payload.get("action")),
            raw=dict(payload),
        )

    @property
    def outcome(self) -> Outcome:
        """Accepted, rejected, or in doubt (unknown)."""
        return outcome_of_status(self.group_id, self.id)

    @property
    def delivery(self) -> Delivery:
        """How far the SMS has come."""
        return delivery_of_status(self.group_id, self.id)


@dataclass(frozen=True, slots=True)
class InviteAnswer:
    """
    The vendor's answer to an invite (HTTP 200); its ``repr`` masks the number.

    :param message_id: the vendor's id of the SMS; empty only if a refusal came without one.
    :param message_count: number of SMS segments, if the vendor gave it.
    :param to: the number as the vendor understood it, if it gave one.
    :param raw: the whole answer.
    """

    message_id: str
    status: Status
    message_count: int | None
    to: str | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, payload: object) -> InviteAnswer:
        """Read the parsed body of an answer; the text of a ValueError contains nothing of it."""
        if not isinstance(payload, dict):
            raise ValueError("the body is not a JSON object")
        if not isinstance(payload.get("status"), dict):
            raise ValueError("the body has no status object")
        status = Status.from_json(payload["status"])
        if status.group_id is None:
            raise ValueError("the status has no groupId")
        message_id = payload.get("messageId")
        if isinstance(message_id, int) and not isinstance(message_id, bool):
            message_id = str(message_id)
        if not isinstance(message_id, str) or not message_id:
            if status.outcome is not Outcome.REJECTED:
                raise ValueError("the body has no messageId")
            message_id = ""
        return cls(
            message_id=message_id,
            status=status,
            message_count=as_int(payload.get("messageCount")),
            to=as_text(payload.get("to")),
            raw=dict(payload),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the answer in the vendor's shape: ``to``, ``messageCount``, ``messageId``, ``status``, and more."""
        return {**self.raw, "status": dict(self.status.raw)}

    @property
    def shown_id(self) -> str:
        """The message id, fit for a log."""
        return printable(self.message_id, (self.to or "",))

    def __repr__(self) -> str:
        return f"InviteAnswer(message_id={self.shown_id!r}, to={mask_number(self.to or '')!r}, status={self.status!r})"


def as_int(value: object) -> int | None:
    """Read a whole number that may have been written as text; anything else is None."""
    if isinstance(value, int):
        return None if isinstance(value, bool) else value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    return None


def as_text(value: object) -> str | None:
    """Return a text; anything else is None."""
    return value if isinstance(value, str) else None
