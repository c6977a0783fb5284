"""Who is let in: the four kinds of Authorization header, and tokens that really expire."""

from __future__ import annotations

import base64
import binascii
import secrets
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_omnichat.sandbox.settings import Credentials


class Gate:
    """Checks the Authorization header and hands out tokens."""

    def __init__(self, credentials: Credentials, token_lifetime: float) -> None:
        self._credentials = credentials
        self._lifetime = token_lifetime
        self._expiry: dict[tuple[str, str], float] = {}
        pair = f"{credentials.user}:{credentials.password}".encode()
        # The headers that nearly every request carries, compared whole: this runs for each invite.
        self._known = frozenset({f"Basic {base64.b64encode(pair).decode()}", f"App {credentials.api_key}"})

    def admits(self, header: str | None) -> bool:
        """Tell whether the Authorization header is a valid one."""
        if header is None:
            return False
        if header in self._known:
            return True
        scheme, _, secret = header.partition(" ")
        secret = secret.strip()
        match scheme.lower():
            case "basic":
                return self._is_user(secret)
            case "app":
                return secret == self._credentials.api_key
            case "bearer" | "ibsso" as kind:
                return time.monotonic() < self._expiry.get((kind, secret), 0.0)
        return False

    def _is_user(self, encoded: str) -> bool:
        try:
            pair = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            return False
        expected = f"{self._credentials.user}:{self._credentials.password}"
        # Clients write a password outside ASCII in either of two encodings.
        return pair in {expected.encode(), expected.encode("latin-1", "replace")}

    def token_for_client(self, client_id: str, client_secret: str) -> str | None:
        """Return an OAuth2 token; None when the client is not known."""
        ours = self._credentials
        return self._issue("bearer") if (client_id, client_secret) == (ours.client_id, ours.client_secret) else None

    def token_for_user(self, user: str, password: str) -> str | None:
        """Return an IBSSO token; None when the user is not known."""
        ours = self._credentials
        return self._issue("ibsso") if (user, password) == (ours.user, ours.password) else None

    def _issue(self, kind: str) -> str:
        now = time.monotonic()
        self._expiry = {key: expiry for key, expiry in self._expiry.items() if expiry > now}
        token = secrets.token_urlsafe(24)
        self._expiry[kind, token] = now + self._lifetime
        return token
