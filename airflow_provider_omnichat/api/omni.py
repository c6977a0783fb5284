"""The invite of the OMNI Chat API: the vendor makes the link, and there is no id of ours in it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote

from airflow_provider_omnichat.api.models import Invite, InviteAnswer
from airflow_provider_omnichat.api.wire import JSON_HEADERS, HttpRequest, HttpResponse, as_json, read_answer


@dataclass(frozen=True, slots=True, repr=False)
class OmniInvite(Invite):
    """One invite of ``POST /omnichat/1/applications/{application_key}/integrations/{integration_type}/invite``."""

    link_placeholder: str  # the piece of the text that the server replaces by a link
    application_key: str
    integration_type: str  # the channel that the invite leads to, such as FACEBOOK; no closed list is documented

    def request(self) -> HttpRequest:
        """See :class:`.Invite`."""
        # https://www.infobip.com/docs/api (OMNI Chat, "send invite")
        to, placeholder, message = as_json(self.to), as_json(self.link_placeholder), as_json(self.message)
        body = f'{{"to": {to}, "linkPlaceholder": {placeholder}, "message": {message}}}'
        return HttpRequest("POST", _path(self.application_key, self.integration_type), JSON_HEADERS, body.encode())

    def read(self, response: HttpResponse, secrets: Collection[str] = ()) -> InviteAnswer:
        """See :class:`.Invite`."""
        return read_answer(response, self, secrets)

    def with_link(self, link: str) -> str:
        """See :class:`.Invite`."""
        return self.message.replace(self.link_placeholder, link)


@lru_cache(maxsize=64)
def _path(application_key: str, integration_type: str) -> str:
    return "/omnichat/1/applications/{}/integrations/{}/invite".format(
        quote(application_key, safe=""), quote(integration_type, safe="")
    )
