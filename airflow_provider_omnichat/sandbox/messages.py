"""The SMS API of today, ``POST /sms/3/messages``: what it takes, and what it answers."""

from __future__ import annotations

import secrets

from airflow_provider_omnichat.sandbox.body import Rule, read
from airflow_provider_omnichat.sandbox.invite import Body
from airflow_provider_omnichat.sandbox.outbox import Receipt

_DESTINATION = {"to": Rule(str, True, longest=64), "messageId": Rule(str, longest=200)}
_OPTIONS = {
    "validityPeriod": Rule(dict, parts={"amount": Rule(int, True), "timeUnit": Rule(str)}),
    "deliveryTimeWindow": Rule(dict, parts={"days": Rule(list, True)}),
    "campaignReferenceId": Rule(str, longest=255),
}
_MESSAGE = {
    "sender": Rule(str),
    "destinations": Rule(list, True, may_be_empty=False, parts=_DESTINATION),
    "content": Rule(dict, True, parts={"text": Rule(str, True)}),
    "options": Rule(dict, parts=_OPTIONS),
}
_MESSAGES = Rule(list, True, may_be_empty=False, parts=_MESSAGE)
_REQUEST = {"messages": _MESSAGES, "options": Rule(dict, parts={"tracking": Rule(dict)})}


def read_messages(raw: bytes) -> Body:
    """Read the body of a request: an invite for each destination of each message."""
    body, problems = read(raw, _REQUEST)
    if problems != {}:
        return Body([Receipt()], problems)
    invites = [
        Receipt(
            to=each["to"],
            message=message["content"]["text"],
            text=message["content"]["text"],
            message_id=each.get("messageId"),
            sender=message.get("sender"),
            options={**(body.get("options") or {}), **(message.get("options") or {})},
        )
        for message in body["messages"]
        for each in message["destinations"]
    ]
    return Body(invites, problems)


def answer_messages(receipts: list[Receipt]) -> dict[str, object]:
    """Return the answer: a status for each destination; the count of segments only where it is asked for."""
    messages = []
    for each in receipts:
        status = each.status and each.status.as_wire()
        message: dict[str, object] = {"messageId": each.message_id, "destination": each.to, "status": status}
        if each.options and each.options.get("includeSmsCountInResponse"):
            message["details"] = {"messageCount": each.segments}
        messages.append(message)
    return {"messages": messages} if len(messages) == 1 else {"bulkId": secrets.token_hex(10), "messages": messages}
