"""The invite of the SMS API: the link in it is the user's, and its id is ours."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import KW_ONLY, dataclass, field
from time import time
from typing import Any

from airflow_provider_omnichat.api.hints import HTTP_HINTS
from airflow_provider_omnichat.api.models import Invite, InviteAnswer
from airflow_provider_omnichat.api.privacy import secrets_in
from airflow_provider_omnichat.api.wire import JSON_HEADERS, HttpRequest, HttpResponse, as_json, read_answer

_LONGEST_VALIDITY_MINUTES = 48 * 60
_HINTS = {
    **HTTP_HINTS,
    403: f"sending needs the scope sms:message:send (or sms:manage): {HTTP_HINTS[403]}",
    404: "this host has no SMS API; check the host of the connection",
}


@dataclass(frozen=True, slots=True, repr=False)
class SmsInvite(Invite):
    """One invite of ``POST /sms/3/messages``."""

    link: str = ""  # in the text
    sender: str | None = None  # what the phone shows; None for what the account has
    shorten_links: bool = False  # whether the vendor replaces the link by a short one, and counts clicks
    _: KW_ONLY
    account: str = ""  # where ids of ours are known
    campaign: str = ""  # what the vendor's reports show as the campaign
    expires_at: float | None = field(default=None, compare=False)  # POSIX time after which it is not delivered any more

    def request(self) -> HttpRequest:
        """See :class:`.Invite`."""
        # https://www.infobip.com/docs/api/channels/sms/outbound-sms/send-sms-messages
        validity = None
        if self.expires_at is not None:
            minutes = max(1, min(int((self.expires_at - time()) / 60), _LONGEST_VALIDITY_MINUTES))
            validity = {"amount": minutes, "timeUnit": "MINUTES"}
        message = _given(
            destinations=[{"to": self.to, "messageId": self.message_id}],
            sender=self.sender,
            content={"text": self.message},
            options=_given(campaignReferenceId=self.campaign, validityPeriod=validity),
        )
        tracking = {"shortenUrl": True, "trackClicks": True} if self.shorten_links else None
        body = {"messages": [message], "options": _given(includeSmsCountInResponse=True, tracking=tracking)}
        return HttpRequest("POST", "/sms/3/messages", JSON_HEADERS, as_json(body).encode())

    def read(self, response: HttpResponse, secrets: Collection[str] = ()) -> InviteAnswer:
        """See :class:`.Invite`."""
        return read_answer(response, self, (*secrets, self.link, *secrets_in(self.link)), self._own, _HINTS)

    def _own(self, payload: Any) -> dict[str, Any]:
        """Return what the answer says of this invite, in the shape that the other route's answers have."""
        messages = payload.get("messages") if isinstance(payload, dict) else None
        found = [each for each in messages if isinstance(each, dict)] if isinstance(messages, list) else []
        # One that was rejected need not have an id. If none is ours, the first one says whose the answer is.
        own = [each for each in found if each.get("messageId") in (self.message_id, None, "")] or found[:1]
        if len(own) != 1:
            raise ValueError("the body has no message, or several, with this id")
        (message,) = own
        details, to = message.pop("details", None), message.pop("destination", None)
        return {**(details if isinstance(details, dict) else {}), **message, "to": to}


def _given(**fields: object) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value}
