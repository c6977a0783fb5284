"""The words for how an invite ended, and the vendor's status groups that decide between them."""

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


class StatusGroup(IntEnum):
    """
    The vendor's ``groupId``.

    .. seealso:: https://www.infobip.com/docs/essentials/api-essentials/response-status-and-error-codes
    """

    ACCEPTED = 0
    PENDING = 1
    UNDELIVERABLE = 2
    DELIVERED = 3
    EXPIRED = 4
    REJECTED = 5


EXPIRED_DLR_UNKNOWN = 29
"""A status id of group EXPIRED that means the opposite of final: the operator never told what happened."""

_ACCEPTED_GROUPS = frozenset({StatusGroup.ACCEPTED, StatusGroup.PENDING, StatusGroup.DELIVERED})
_REJECTED_GROUPS = frozenset({StatusGroup.UNDELIVERABLE, StatusGroup.EXPIRED, StatusGroup.REJECTED})


def outcome_of_status(group_id: int | None, status_id: int | None) -> Outcome:
    """
    Decide by group, then by id, never by name: names have moved between ids.

    A group that nobody knows yet is neither a success to be green about nor a refusal to send again on, so it is
    unknown.

    :param group_id: ``status.groupId`` of the answer.
    :param status_id: ``status.id`` of the answer.
    """
    if group_id in _ACCEPTED_GROUPS:
        return Outcome.ACCEPTED
    if group_id in _REJECTED_GROUPS and status_id != EXPIRED_DLR_UNKNOWN:
        return Outcome.REJECTED
    return Outcome.UNKNOWN
