"""
Ids of ours for messages: the same for every request of an invite, in every try and run of a campaign.

The first part stands for campaign and person; the key keeps anybody from finding the number by trying all. The second
stands for what is sent: one that was changed since is not a repeat, whatever the vendor makes of that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b
from typing import Any

from airflow_provider_omnichat.api.models import Invite
from airflow_provider_omnichat.api.privacy import scrub
from airflow_provider_omnichat.api.sms import SmsInvite
from airflow_provider_omnichat.campaign.model.names import LETTERS, distinct_name
from airflow_provider_omnichat.campaign.model.rows import Candidate

_LONGEST_CAMPAIGN = 255


class MessageIds:
    """Names the invites of a campaign; *key* is random, and kept with the ledger."""

    def __init__(self, key: bytes, campaign: str) -> None:
        self._key = key
        self._campaign = distinct_name(campaign, scrub(campaign), _LONGEST_CAMPAIGN)

    def check(self, candidate: Candidate, _: Mapping[str, Any]) -> Candidate:
        """Return a candidate whose invite has its id, and ends with the send window, as the last rule."""
        return candidate._replace(invite=self.named(candidate.invite, candidate.recipient, candidate.closes_at))

    def named(self, invite: Invite, recipient: str, expires_at: float | None = None) -> Invite:
        """Return an invite with its id, if its API takes one; *recipient* is the :func:`.identity.identity_key`."""
        if not isinstance(invite, SmsInvite):
            return invite
        sent = "\n".join((recipient, invite.account, *invite.contents[1:]))
        message_id = f"{self._hash(recipient, 16)}-{self._hash(sent, 4)}"
        return replace(invite, message_id=message_id, campaign=self._campaign, expires_at=expires_at)

    def _hash(self, text: str, size: int) -> str:
        # Letters only: digits in a row would be masked as somebody's number wherever an id is shown.
        return blake2b(text.encode(), key=self._key, digest_size=size).hexdigest().translate(LETTERS)


def mark_of(message_id: str | None) -> str | None:
    """Return the part of an id that stands for what is sent; None for no id of ours."""
    return message_id.partition("-")[2] or None if message_id else None


def with_mark(message_id: str | None, mark: str | None) -> str | None:
    """Return the id of the same person for what was sent before; None if that had no id of ours."""
    return f"{message_id.partition('-')[0]}-{mark}" if message_id and mark else None
