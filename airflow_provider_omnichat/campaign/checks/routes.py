"""By which of the vendor's APIs a list is sent; a route is made once, and makes the invite of each row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from airflow_provider_omnichat.api.account import Account, path_part
from airflow_provider_omnichat.api.errors import AccountError, InvalidInviteError
from airflow_provider_omnichat.api.models import Invite
from airflow_provider_omnichat.api.omni import OmniInvite
from airflow_provider_omnichat.api.reasons import ReasonCode
from airflow_provider_omnichat.campaign.checks.text import MessageTemplate, check_text
from airflow_provider_omnichat.campaign.model.field_values import value_in


class InviteRoute(Protocol):
    """What the invites of a list have in common, besides their text."""

    def invite(self, to: str, message: object, fields: Mapping[str, Any]) -> Invite:
        """
        Build the invite of a row, or raise the InvalidInviteError that names the field and what to do.

        :param to: the number in international format.
        :param fields: of the row, by column name.
        """


@dataclass(frozen=True, slots=True)
class OmniRoute:
    """The OMNI Chat API: the vendor makes the link."""

    link_placeholder: object = "<link>"
    application_key: object = None
    integration_type: object = None

    def invite(self, to: str, message: object, fields: Mapping[str, Any]) -> Invite:
        text, placeholder = check_text(message, value_in(fields, "link_placeholder") or self.link_placeholder)
        return OmniInvite(
            to=to,
            message=text,
            link_placeholder=placeholder,
            application_key=_required("application_key", self.application_key),
            integration_type=_required("integration_type", self.integration_type),
        )


@dataclass(frozen=True, slots=True)
class InviteDefaults:
    """What is sent, unless a row says otherwise."""

    template: MessageTemplate | None = None
    route: InviteRoute = OmniRoute()
    default_region: str | None = None  # the country of numbers without a country code, as two letters


def route_of(
    account: Account,
    link_placeholder: object = "<link>",
    application_key: object = None,
    integration_type: object = None,
) -> InviteRoute:
    """Return the route that arguments choose; the account says what they do not."""
    return OmniRoute(
        link_placeholder,
        application_key or account.application_key,
        integration_type or account.integration_type,
    )


def _required(field: str, value: object) -> str:
    try:
        part = path_part(field, value)
    except AccountError as error:
        raise InvalidInviteError.of(field, ReasonCode.UNUSABLE_APPLICATION, error.problem) from None
    if part is None:
        raise InvalidInviteError.of(
            field, ReasonCode.NO_APPLICATION, "is missing; give it here or in the connection's extra"
        )
    return part
