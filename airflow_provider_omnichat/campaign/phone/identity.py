"""The name under which a ledger knows a person."""

from __future__ import annotations

import hashlib

from airflow_provider_omnichat.api.identity import Identity, identity_of, in_use

__all__ = ["Identity", "identity_key", "identity_of", "in_use", "recipient_key"]


def recipient_key(campaign: str, number: str) -> str:
    """Return the :func:`identity_key` of a number in international format (digits only), in either of its writings."""
    return identity_key(campaign, identity_of(number))


def identity_key(campaign: str, identity: Identity) -> str:
    """
    Return the name under which a ledger knows a recipient: 32 hexadecimal digits, so that it stores no number.

    A hash of a phone number can be found again by trying all numbers; it is a pseudonym and not anonymous.
    """
    return hashlib.blake2b(f"{campaign}\n{identity}".encode(), digest_size=16).hexdigest()
