"""What an invite must be before it may be sent, and by which of the vendor's APIs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_omnichat.api.account import Account, checked_sender, path_part
from airflow_provider_omnichat.api.errors import AccountError, InvalidInviteError
from airflow_provider_omnichat.api.models import Invite
from airflow_provider_omnichat.api.omni import OmniInvite
from airflow_provider_omnichat.api.reasons import ReasonCode
from airflow_provider_omnichat.api.sms import SmsInvite
from airflow_provider_omnichat.campaign.checks.text import LinkTemplate, MessageTemplate, check_text, refuse_too_long
from airflow_provider_omnichat.campaign.model.field_values import value_in


@dataclass(frozen=True, slots=True)
class InviteDefaults:
    """What is sent, unless a row says otherwise."""

    template: MessageTemplate | None = None
    default_region: str | None = None  # the country of numbers without a country code, as two letters
    link_placeholder: object = "<link>"
    application_key: object = None
    integration_type: object = None
    link: LinkTemplate | None = None  # put in here, and sent by the SMS API; None if the vendor makes the link
    sender: str | None = None
    shorten_links: bool = False
    account: str = ""  # where ids of ours are known

    def invite(self, to: object, fields: Mapping[str, Any], country: str | None = None) -> Invite:
        """Build the invite of a row, or raise the InvalidInviteError that names the field and what to do."""
        from airflow_provider_omnichat.campaign.phone.number import normalise_number  # heavy, see test_import_cost

        message = value_in(fields, "message")  # sent as it is: it is data, and data are not evaluated
        if message is None and self.template is not None:
            message = self.template.render(fields)
        number = normalise_number(to, self.default_region, country)
        text, placeholder = check_text(message, value_in(fields, "link_placeholder") or self.link_placeholder)
        if self.link is None:
            key = _required("application_key", self.application_key)
            return OmniInvite(number, text, placeholder, key, _required("integration_type", self.integration_type))
        link = self.link.render(fields)
        text = text.replace(placeholder, link)
        refuse_too_long(text)
        return SmsInvite(number, text, link, self.sender, self.shorten_links, account=self.account)


def defaults_of(account: Account, link: str | None = None, sender: object = None, **given: Any) -> InviteDefaults:
    """Return what arguments say, and else the account; raise the InvalidInviteError that names a wrong one."""
    if link is None and (sender or given.get("shorten_links")):
        raise InvalidInviteError.of("sender", ReasonCode.UNUSABLE_SENDER, "needs link, as shorten_links does")
    own = {name: given.pop(name, None) or getattr(account, name) for name in ("application_key", "integration_type")}
    return InviteDefaults(
        link=None if link is None else LinkTemplate(link),
        sender=_checked(checked_sender, "sender", sender, ReasonCode.UNUSABLE_SENDER) or account.sender,
        account=account.base_url,
        **own,
        **given,
    )


def _required(field: str, value: object) -> str:
    if part := _checked(path_part, field, value, ReasonCode.UNUSABLE_APPLICATION):
        return part
    missing = "is missing; give it here or in the connection's extra"
    raise InvalidInviteError.of(field, ReasonCode.NO_APPLICATION, missing)


def _checked(read: Callable[[str, object], str | None], field: str, value: object, code: ReasonCode) -> str | None:
    try:
        return read(field, value)
    except AccountError as error:
        raise InvalidInviteError.of(field, code, error.problem) from None
