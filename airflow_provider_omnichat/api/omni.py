"""The invite of the OMNI Chat API: the vendor makes the link, and there is no id of ours in it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar
from urllib.parse import quote

from airflow_provider_omnichat.api.models import InviteAnswer
from airflow_provider_omnichat.api.privacy import describe_text, mask_number
from airflow_provider_omnichat.api.wire import JSON_HEADERS, HttpRequest, HttpResponse, as_json, read_answer


@dataclass(frozen=True, slots=True)
class OmniInvite:
    """
    One invite of ``POST /omnichat/1/applications/{key}/integrations/{type}/invite``.

    :param to: phone number in international format, digits only: ``41793026727``.
    :param message: the text, with *link_placeholder* where the server puts the link.
    :param application_key: the OMNI application.
    :param integration_type: the channel that the invite leads to, such as ``FACEBOOK``; no closed list is documented.
    """

    to: str
    message: str
    link_placeholder: str
    application_key: str
    integration_type: str
    message_id: ClassVar[str | None] = None

    @property
    def contents(self) -> tuple[str, ...]:
        """See :class:`.Invite`."""
        return (self.to, self.message, self.link_placeholder, self.application_key, self.integration_type)

    def request(self) -> HttpRequest:
        """See :class:`.Invite`."""
        # https://www.infobip.com/docs/api (OMNI Chat, "send invite")
        to, placeholder, message = as_json(self.to), as_json(self.link_placeholder), as_json(self.message)
        body = f'{{"to": {to}, "linkPlaceholder": {placeholder}, "message": {message}}}'
        return HttpRequest("POST", _path(self.application_key, self.integration_type), JSON_HEADERS, body.encode())

    def read(self, response: HttpResponse, secrets: Collection[str] = ()) -> InviteAnswer:
        """See :class:`.Invite`."""
        return read_answer(response, self, secrets)

    def __repr__(self) -> str:
        return (
            f"OmniInvite(to={mask_number(self.to)!r}, message={describe_text(self.message)},"
            f" integration_type={self.integration_type!r})"
        )


@lru_cache(maxsize=64)
def _path(application_key: str, integration_type: str) -> str:
    return "/omnichat/1/applications/{}/integrations/{}/invite".format(
        quote(application_key, safe=""), quote(integration_type, safe="")
    )


def users_request(application_key: str) -> HttpRequest:
    """Build the request that lists one user of an application: it fails with a wrong key, and sends nothing."""
    path = f"/omnichat/1/applications/{quote(application_key, safe='')}/users?limit=1"
    return HttpRequest("GET", path, {"Accept": "application/json"})
