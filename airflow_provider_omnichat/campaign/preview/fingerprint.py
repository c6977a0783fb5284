"""By what it is known whether a list is the one that somebody approved."""

from __future__ import annotations

import hashlib

from airflow_provider_omnichat.api.models import Invite


class Fingerprint:
    """
    Tells a list by its people and texts, in whatever order they stand; tells nothing about them.

    The sum of hashes, so that its memory does not grow with the list.
    """

    def __init__(self) -> None:
        self._sum = 0

    def add(self, invite: Invite) -> None:
        """Take in an invite."""
        parts = (invite.to, invite.message, invite.link_placeholder, invite.application_key, invite.integration_type)
        digest = hashlib.blake2b("\x00".join(parts).encode(), digest_size=16).digest()
        self._sum = (self._sum + int.from_bytes(digest)) % 2**128

    def __str__(self) -> str:
        return f"{self._sum:032x}"
