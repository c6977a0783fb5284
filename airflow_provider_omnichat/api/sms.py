"""The invite of the SMS API: the link in it is the user's, and its id is ours."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from time import time
from typing import Any, ClassVar

from airflow_provider_omnichat.api.errors import InviteRejectedError, InviteUnknownError
from airflow_provider_omnichat.api.hints import HTTP_HINTS
from airflow_provider_omnichat.api.models import InviteAnswer
from airflow_provider_omnichat.api.outcomes import REJECTED_DUPLICATE
from airflow_provider_omnichat.api.privacy import describe_text, mask_number, printable
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.api.wire import (
    JSON_HEADERS,
    HttpRequest,
    HttpResponse,
    as_json,
    for_another,
    read_answer,
)

_LONGEST_VALIDITY_MINUTES = 48 * 60
_HINTS = {
    **HTTP_HINTS,
    403: f"sending needs the scope sms:message:send (or sms:manage): {HTTP_HINTS[403]}",
    404: "this host has no SMS API; check the host of the connection",
}


@dataclass(frozen=True, slots=True)
class SmsInvite:
    """
    One invite of ``POST /sms/3/messages``.

    :param to: phone number in international format, digits only: ``41793026727``.
    :param message: the text as it is sent.
    :param link: the link in it.
    :param sender: what the phone shows; None for what the account has.
    :param shorten_links: whether the vendor replaces the link by a short one, and counts clicks.
    :param account: where ids of ours are known.
    :param campaign: what the vendor's reports show as the campaign.
    :param message_id: the same for every request of this invite.
    :param expires_at: POSIX time after which it is not delivered any more.
    """

    to: str
    message: str
    link: str = ""
    sender: str | None = None
    shorten_links: bool = False
    account: str = ""
    campaign: str = ""
    message_id: str = ""
    expires_at: float | None = field(default=None, compare=False)
    link_placeholder: ClassVar[str] = ""

    @property
    def contents(self) -> tuple[str, ...]:
        """See :class:`.Invite`."""
        return (self.to, self.message, self.sender or "", str(self.shorten_links))

    def request(self) -> HttpRequest:
        """See :class:`.Invite`."""
        # https://www.infobip.com/docs/api/channels/sms/outbound-sms/send-sms-messages
        destination = {"to": self.to, "messageId": self.message_id}
        message: dict[str, Any] = {"destinations": [destination], "content": {"text": self.message}}
        if self.sender:
            message["sender"] = self.sender
        options: dict[str, Any] = {"campaignReferenceId": self.campaign} if self.campaign else {}
        if self.expires_at is not None:
            minutes = max(1, min(int((self.expires_at - time()) / 60), _LONGEST_VALIDITY_MINUTES))
            options["validityPeriod"] = {"amount": minutes, "timeUnit": "MINUTES"}
        if options:
            message["options"] = options
        of_request: dict[str, Any] = {"includeSmsCountInResponse": True}
        if self.shorten_links:
            of_request["tracking"] = {"shortenUrl": True, "trackClicks": True}
        body = as_json({"messages": [message], "options": of_request})
        return HttpRequest("POST", "/sms/3/messages", JSON_HEADERS, body.encode())

    def read(self, response: HttpResponse, secrets: Collection[str] = ()) -> InviteAnswer:
        """See :class:`.Invite`."""
        try:
            return read_answer(response, self, secrets, lambda payload: self._own(payload, response.status), _HINTS)
        except InviteRejectedError as error:
            if error.answer is None or error.answer.status.id != REJECTED_DUPLICATE:
                raise
            refused = error
        # Not a refusal: nobody else can make this id, so an earlier request of this invite was taken.
        taken = Reason(ReasonCode.ID_TAKEN, "The vendor has taken a message with this id before")
        taken = taken._replace(detail=refused.reason.detail, status=refused.reason.status)
        raise InviteUnknownError(taken, http_status=refused.http_status, code=refused.code, answer=refused.answer)

    def _own(self, payload: Any, http_status: int) -> dict[str, Any]:
        """Return what the answer says of this invite, in the shape that the other route's answers have."""
        messages = payload.get("messages") if isinstance(payload, dict) else None
        found = [each for each in messages if isinstance(each, dict)] if isinstance(messages, list) else []
        if not found:
            raise ValueError("the body has no list of messages")
        own = [each for each in found if each.get("messageId") == self.message_id]
        own = own or [each for each in found if not each.get("messageId")]  # of one that was rejected
        if not own:
            raise for_another(http_status, self, "message", printable(str(found[0]["messageId"]), (self.to,)))
        if len(own) > 1:
            raise ValueError("the body has several messages with this id")
        (message,) = own
        details, flat = message.get("details"), {"to": message.get("destination")}
        if isinstance(details, dict) and "messageCount" in details:
            flat["messageCount"] = details["messageCount"]
        others = {name: value for name, value in message.items() if name not in {"destination", "details"}}
        return {**flat, **others}

    def __repr__(self) -> str:
        text = describe_text(self.message)
        return f"SmsInvite(to={mask_number(self.to)!r}, message={text}, message_id={self.message_id!r})"


def newest_log_request() -> HttpRequest:
    """Build the request that reads one message of the SMS logs: it fails with a wrong login, and sends nothing."""
    return HttpRequest("GET", "/sms/3/logs?limit=1", {"Accept": "application/json"})
