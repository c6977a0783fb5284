"""The vendor's message statuses: group, id, name, and what they say to people."""

from __future__ import annotations

from dataclasses import dataclass, field

GROUPS = {0: "ACCEPTED", 1: "PENDING", 2: "UNDELIVERABLE", 3: "DELIVERED", 4: "EXPIRED", 5: "REJECTED"}


@dataclass(frozen=True)
class Status:
    """The ``status`` object of an answer.

    :param extra: fields that the contract does not know, as the vendor may add them at any time
    """

    group_id: int
    id: int
    name: str
    description: str
    action: str | None = None
    extra: dict[str, object] = field(default_factory=dict, hash=False)

    @property
    def group_name(self) -> str:
        """The name of the group, made up for a group that is not documented."""
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
        Status(5, 25, "REJECTED_MESSAGE_TOO_LONG", "Over 25 parts or 4000 bytes", "Shorten the message"),
        Status(5, 51, "MISSING_TO", "Destination is missing", "Set to"),
        Status(5, 52, "REJECTED_DESTINATION", "Invalid destination address", "Check the number"),
        Status(5, 87, "REJECTED_SIGNALS_BLOCKED", "Blocked as likely fraud", _ASK),
        Status(5, 100, "REJECTED_MALFORMED", "Message is malformed, or the service is unavailable", "Try again later"),
    )
}
