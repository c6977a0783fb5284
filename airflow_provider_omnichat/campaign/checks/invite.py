"""What an invite must be before it may be sent, and by which of the vendor's APIs: its route."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_omnichat.api.account import Account, checked_sender, path_part
from airflow_provider_omnichat.api.errors import AccountError, InvalidInviteError
from airflow_provider_omnichat.api.models import Invite
from airflow_provider_omnichat.api.omni import OmniInvite
from airflow_provider_omnichat.api.reasons import ReasonCode
from airflow_provider_omnichat.api.sms import SmsInvite
from airflow_provider_omnichat.campaign.checks.text import (
    MessageTemplate,
    check_link,
    check_text,
    link_template,
    refuse_too_long,
)
from airflow_provider_omnichat.campaign.model.field_values import value_in


@dataclass(frozen=True, slots=True)
class OmniRoute:
    """The OMNI Chat API: the vendor makes the link."""

    link_placeholder: object = "<link>"
    application_key: object = None
    integration_type: object = None

    def invite(self, to: str, message: object, fields: Mapping[str, Any]) -> Invite:
        """Build the invite of a row, or raise the InvalidInviteError that names the field and what to do."""
        text, placeholder = check_text(message, value_in(fields, "link_placeholder") or self.link_placeholder)
        return OmniInvite(
            to=to,
            message=text,
            link_placeholder=placeholder,
            application_key=_required("application_key", self.application_key),
            integration_type=_required("integration_type", self.integration_type),
        )


@dataclass(frozen=True, slots=True)
class SmsRoute:
    """The SMS API: the link is the user's, and is put in here. *account* is where ids of ours are known."""

    link: MessageTemplate
    link_placeholder: object = "<link>"
    sender: str | None = None
    shorten_links: bool = False
    account: str = ""

    def invite(self, to: str, message: object, fields: Mapping[str, Any]) -> Invite:
        """See :meth:`OmniRoute.invite`."""
        text, placeholder = check_text(message, value_in(fields, "link_placeholder") or self.link_placeholder)
        link = check_link(self.link.render(fields))
        text = text.replace(placeholder, link)
        refuse_too_long(text)
        return SmsInvite(to, text, link, self.sender, self.shorten_links, self.account)


@dataclass(frozen=True, slots=True)
class InviteDefaults:
    """What is sent, unless a row says otherwise."""

    template: MessageTemplate | None = None
    route: OmniRoute | SmsRoute = OmniRoute()
    default_region: str | None = None  # the country of numbers without a country code, as two letters


def route_of(
    account: Account,
    link_placeholder: object = "<link>",
    application_key: object = None,
    integration_type: object = None,
    link: str | None = None,
    sender: object = None,
    shorten_links: bool = False,
) -> OmniRoute | SmsRoute:
    """Return the route of a task's arguments; an InvalidInviteError names a wrong one. The account fills in others."""
    if link is None:
        if sender or shorten_links:
            raise InvalidInviteError.of("sender", ReasonCode.UNUSABLE_SENDER, "needs link, as shorten_links does")
        return OmniRoute(
            link_placeholder,
            application_key or account.application_key,
            integration_type or account.integration_type,
        )
    try:
        own = checked_sender(sender) or account.sender
    except AccountError as error:
        raise InvalidInviteError.of("sender", ReasonCode.UNUSABLE_SENDER, error.problem) from None
    return SmsRoute(link_template(link), link_placeholder, own, shorten_links, account.base_url)


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
