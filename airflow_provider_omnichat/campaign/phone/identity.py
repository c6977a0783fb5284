"""The name under which a ledger knows a person."""

from __future__ import annotations

import hashlib

from airflow_provider_omnichat.api.identity import identity_of, in_use

__all__ = ["identity_of", "in_use", "recipient_key"]


def recipient_key(campaign: str, number: str) -> str:
    """
    Give the name under which a ledger knows a recipient: a hash, so that no number is stored.

    A hash of a phone number can be found again by trying all numbers; it is a pseudonym and not anonymous.

    :param campaign: the campaign's name.
    :param number: in international format, digits only.
    :return: 32 hexadecimal digits; the same for two writings of one mobile, see :func:`identity_of`.
    """
    return hashlib.blake2b(f"{campaign}\n{identity_of(number)}".encode(), digest_size=16).hexdigest()
