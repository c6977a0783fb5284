"""How an invite ended and whether it was delivered, and the vendor's status groups that decide it."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Outcome(StrEnum):
    """How one invite ended. Every row of a list ends in exactly one of these."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"
    INVALID = "invalid"
    DUPLICATE = "duplicate"
    SUPPRESSED = "suppressed"
    HELD = "held"

    @property
    def label(self) -> str:
        """The outcome as people read it: the same in logs, the command, the tab and the docs."""
        return label_of(self)


def label_of(outcome: str) -> str:
    """Return the label of an outcome as it was stored, which may be one of a later version of this package."""
    return "in doubt" if outcome == Outcome.UNKNOWN else outcome.replace("_", " ")


class Delivery(StrEnum):
    """How far an accepted invite has come, according to the vendor's SMS logs."""

    DELIVERED = "delivered"
    UNDELIVERABLE = "undeliverable"
    EXPIRED = "expired"
    REJECTED = "rejected"
    #: Final: the operator never reported what happened. Not a failure.
    UNKNOWN = "unknown"
    #: On its way, or in a status that is not documented.
    PENDING = "pending"
    #: Not in the logs: they lag, and whether they contain invites is not documented. Not a failure.
    NOT_SEEN = "not_seen"

    @property
    def is_final(self) -> bool:
        """Whether the status will not change any more."""
        return self not in {Delivery.PENDING, Delivery.NOT_SEEN}


class StatusGroup(IntEnum):
    """The vendor's ``groupId``."""

    # https://www.infobip.com/docs/essentials/api-essentials/response-status-and-error-codes
    ACCEPTED = 0
    PENDING = 1
    UNDELIVERABLE = 2
    DELIVERED = 3
    EXPIRED = 4
    REJECTED = 5


EXPIRED_DLR_UNKNOWN = 29
"""A status id of group EXPIRED that is not a refusal: the operator never reported what happened."""

REJECTED_DUPLICATE = 23
"""A status id of group REJECTED which says that a message with the same id was taken before."""

_DELIVERED_TO_OPERATOR = 2
"""A status id of group DELIVERED that is not final: the operator has the SMS, the phone does not."""

_DELIVERY_OF_GROUP = {
    StatusGroup.UNDELIVERABLE: Delivery.UNDELIVERABLE,
    StatusGroup.DELIVERED: Delivery.DELIVERED,
    StatusGroup.EXPIRED: Delivery.EXPIRED,
    StatusGroup.REJECTED: Delivery.REJECTED,
}
_ACCEPTED_GROUPS = frozenset({StatusGroup.ACCEPTED, StatusGroup.PENDING, StatusGroup.DELIVERED})
_REJECTED_GROUPS = frozenset({StatusGroup.UNDELIVERABLE, StatusGroup.EXPIRED, StatusGroup.REJECTED})


def outcome_of_status(group_id: int | None, status_id: int | None) -> Outcome:
    """Decide by group, then by id, never by name: names have moved between ids."""
    if group_id in _ACCEPTED_GROUPS:
        return Outcome.ACCEPTED
    if group_id in _REJECTED_GROUPS and status_id != EXPIRED_DLR_UNKNOWN:
        return Outcome.REJECTED
    return Outcome.UNKNOWN  # a group that is not documented is neither a success nor a refusal


def delivery_of_status(group_id: int | None, status_id: int | None) -> Delivery:
    """Decide by group, then by id, never by name."""
    if group_id == StatusGroup.EXPIRED and status_id == EXPIRED_DLR_UNKNOWN:
        return Delivery.UNKNOWN
    if group_id == StatusGroup.DELIVERED and status_id == _DELIVERED_TO_OPERATOR:
        return Delivery.PENDING
    return _DELIVERY_OF_GROUP.get(group_id, Delivery.PENDING)  # type: ignore[call-overload, no-any-return]
