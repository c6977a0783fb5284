"""The vendor's message statuses, and which of them an accepted invite comes to as time passes."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

GROUPS = {0: "ACCEPTED", 1: "PENDING", 2: "UNDELIVERABLE", 3: "DELIVERED", 4: "EXPIRED", 5: "REJECTED"}


@dataclass(frozen=True)
class Status:
    """The ``status`` object of an answer; *extra* are fields that the vendor may add at any time."""

    group_id: int
    id: int
    name: str
    description: str
    action: str | None = None
    extra: dict[str, object] = field(default_factory=dict, hash=False)

    @property
    def group_name(self) -> str:
        """The name of the group; made up if it is not documented."""
        return GROUPS.get(self.group_id, "SANDBOX_NEW_GROUP")

    def as_wire(self) -> dict[str, object]:
        """Return the object as the vendor writes it in JSON."""
        wire: dict[str, object] = {
            "groupId": self.group_id,
            "groupName": self.group_name,
            "id": self.id,
            "name": self.name,
            "description": self.description,
        }
        if self.action is not None:
            wire["action"] = self.action
        return wire | self.extra


PENDING = Status(1, 7, "PENDING_ENROUTE", "Message sent to next instance")
PENDING_ACCEPTED = Status(1, 26, "PENDING_ACCEPTED", "Message sent to next instance")

UNKNOWN = Status(
    99,
    9999,
    "SANDBOX_NEW_STATUS",
    "A status that no client knows yet",
    extra={"severity": "NEW", "details": {"since": "tomorrow"}},
)

_TOP_UP = "Top up the account, then send again"
_ASK = "Contact your account manager"

# Code decides by group and id. The names are for people and have moved between ids, so some here are our own wording.
REFUSALS = {
    status.id: status
    for status in (
        Status(2, 4, "UNDELIVERABLE_REJECTED_OPERATOR", "Refused by the operator", _ASK),
        Status(2, 9, "UNDELIVERABLE_NOT_DELIVERED", "The operator could not deliver the message", "Check the number"),
        Status(4, 15, "EXPIRED_EXPIRED", "Validity period over before delivery", "Check the number"),
        Status(4, 29, "EXPIRED_DLR_UNKNOWN", "No delivery report came from the operator"),
        Status(5, 6, "REJECTED_NETWORK", "Network is not set up for the account", _ASK),
        Status(5, 8, "REJECTED_PREFIX_MISSING", "Number prefix missing", "Give the number in international format"),
        Status(5, 10, "REJECTED_DND", "Recipient is on the do-not-disturb list", "Remove the number from the list"),
        Status(5, 11, "REJECTED_SOURCE", "Sender is not allowed for the account", _ASK),
        Status(5, 12, "REJECTED_NOT_ENOUGH_CREDITS", "Not enough credits", _TOP_UP),
        Status(5, 13, "REJECTED_SENDER", "Sender is blocked", _ASK),
        Status(5, 14, "REJECTED_BLOCKLISTED", "Destination is on a blocklist", "Remove the number from the blocklist"),
        Status(5, 17, "REJECTED_PREPAID_PACKAGE_EXPIRED", "Credits have expired", _TOP_UP),
        Status(5, 18, "REJECTED_DESTINATION_NOT_REGISTERED", "Trial account, number not verified", "Verify the number"),
        Status(5, 19, "REJECTED_ROUTE_NOT_AVAILABLE", "Route is not available for the account", _ASK),
        Status(5, 20, "REJECTED_FLOODING_FILTER", "Too many messages to this number", "Wait 60 minutes"),
        Status(5, 21, "REJECTED_SYSTEM_ERROR", "System error", "Submit the message again"),
        Status(5, 23, "REJECTED_DUPLICATE_MESSAGE_ID", "Message id was used before", "Give each message its own id"),
        Status(5, 25, "REJECTED_MESSAGE_TOO_LONG", "Over 25 parts or 4000 bytes", "Shorten the message"),
        Status(5, 51, "MISSING_TO", "Destination is missing", "Set to"),
        Status(5, 52, "REJECTED_DESTINATION", "Invalid destination address", "Check the number"),
        Status(5, 87, "REJECTED_SIGNALS_BLOCKED", "Blocked as likely fraud", _ASK),
        Status(5, 100, "REJECTED_MALFORMED", "Message is malformed, or the service is unavailable", "Try again later"),
    )
}

DUPLICATE = REFUSALS[23]
TO_OPERATOR = Status(3, 2, "DELIVERED_TO_OPERATOR", "Message delivered to operator")
DELIVERED = Status(3, 5, "DELIVERED_TO_HANDSET", "Message delivered to handset")

NOT_SEEN = "not-seen"
ENDINGS: dict[str, Status | None] = {
    "delivered": DELIVERED,
    "undeliverable": REFUSALS[9],
    "expired": REFUSALS[15],
    "rejected": REFUSALS[4],
    "unknown": REFUSALS[29],
    "pending": PENDING,
    NOT_SEEN: None,
}
"""How an invite can end; ``pending`` never does, and ``not-seen`` is never in the logs."""


@dataclass(frozen=True)
class DeliveryPlan:
    """How accepted invites end, and when; see `Settings`. Same seed, same order of invites, same endings."""

    after: tuple[float, float]
    shares: Mapping[str, float]
    lag: float
    seed: int

    def at(self, sequence: int, sent: float, now: float) -> tuple[Status, float | None] | None:
        """Return the status of an accepted invite, and when it became final; None while it is not in the logs."""
        chance = random.Random(f"{self.seed}/{sequence}")  # noqa: S311 - reproducible on purpose
        ending = self._ending(chance.random())
        done = sent + chance.uniform(*self.after)
        final = ENDINGS[ending]
        if final is None or now < sent + self.lag:
            return None
        if final is PENDING:
            return PENDING, None
        if now >= done:
            return final, done
        half_way = (sent + done) / 2
        return (TO_OPERATOR if now >= half_way and final is DELIVERED else PENDING), None

    def _ending(self, drawn: float) -> str:
        for name, share in self.shares.items():
            if drawn < share:
                return name
            drawn -= share
        return "delivered"


def check_shares(shares: Mapping[str, float]) -> None:
    """Raise ValueError when an ending is not known, a share is below 0, or they add up to more than 1."""
    if unknown := [name for name in shares if name not in ENDINGS]:
        raise ValueError(f"{unknown[0]!r} is not an ending; the endings are {', '.join(ENDINGS)}")
    if not all(0 <= share <= 1 for share in shares.values()) or sum(shares.values()) > 1 + 1e-9:
        raise ValueError("shares are numbers of 0 to 1 that add up to at most 1")
