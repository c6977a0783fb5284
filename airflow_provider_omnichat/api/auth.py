"""Credentials: the vendor's three ways to log in, all with the ``Authorization`` header, and the life of a token."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import urlencode

from airflow_provider_omnichat.api.errors import InviteNotSentError, TransportError
from airflow_provider_omnichat.api.models import as_int
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.api.wire import HttpRequest, HttpResponse, read_error_body

_EARLY_SECONDS = 30.0
_SHORTEST_LIFE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Credentials:
    """How an account logs in: with a fixed header, or else with tokens. *secrets* must not show anywhere."""

    authorization: str | None = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    token_request: HttpRequest | None = field(default=None, repr=False)

    @classmethod
    def basic(cls, user: str, password: str) -> Credentials:
        """Log in with user name and password (``Basic``), as on the vendor's page of the invite."""
        encoded = b64encode(f"{user}:{password}".encode()).decode()
        return cls(f"Basic {encoded}", (password, encoded))

    @classmethod
    def api_key(cls, key: str) -> Credentials:
        """Log in with an API key (``App``), which the vendor recommends."""
        return cls(f"App {key}", (key,))

    @classmethod
    def oauth2(cls, client_id: str, client_secret: str) -> Credentials:
        """Log in with a token that expires (``Bearer``), in exchange for id and secret; there is no refresh token."""
        form = {"client_id": client_id, "client_secret": client_secret, "grant_type": "client_credentials"}
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        request = HttpRequest("POST", "/auth/1/oauth2/token", headers, urlencode(form).encode())
        return cls(None, (client_secret,), request)


@dataclass(frozen=True, slots=True)
class _Token:
    value: str = field(default="", repr=False)
    ends: float = 0.0


AuthFlow: TypeAlias = "Generator[HttpRequest | AuthFlow, Any, Any]"
"""
What a client does for a request: send each request that the flow yields, and give it the response or throw the
:class:`TransportError` into it. A flow that it yields asks for a token: run one at a time, under the client's lock.
"""


class Login:
    """Adds the ``Authorization`` header to requests, and asks for a token where one is needed. Does no I/O."""

    def __init__(self, credentials: Credentials, on_token: Callable[[str], None] | None = None) -> None:
        self._credentials = credentials
        self._on_token = on_token
        self._token = _Token()  # threads share it: always replaced as a whole

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not show in an error: credentials, and the token, also one that has expired."""
        return (*self._credentials.secrets, self._token.value)

    def flow(self, request: HttpRequest) -> AuthFlow:
        """Send a request with credentials; return its response, whatever the status. No token: InviteNotSentError."""
        authorization: str = self._authorization() or (yield self._token_flow())
        response: HttpResponse = yield request.with_authorization(authorization)
        if response.status == 401 and self._credentials.authorization is None:
            # The token may have ended early. 401 means that nothing was taken, so once more with a new one is safe.
            if authorization == self._authorization():  # else another request has already replaced it
                self._token = _Token(self._token.value)
            response = yield request.with_authorization(self._authorization() or (yield self._token_flow()))
        return response

    def _authorization(self) -> str | None:
        token = self._token
        return self._credentials.authorization or (f"Bearer {token.value}" if time.monotonic() < token.ends else None)

    def _token_flow(self) -> AuthFlow:
        authorization = self._authorization()  # from another request, while this one waited for the lock
        if authorization is None:
            assert self._credentials.token_request, "the others need no token"
            try:
                response = yield self._credentials.token_request
            except TransportError as error:
                # However it broke, only a token was asked for, so no invite has left.
                raise InviteNotSentError(_no_token(error.problem), retryable=True) from error
            token = _read_token(response, self.secrets)
            if self._on_token:
                self._on_token(token.value)
            self._token = token
            authorization = f"Bearer {token.value}"
        return authorization


def _read_token(response: HttpResponse, secrets: tuple[str, ...]) -> _Token:
    status = response.status
    if not 200 <= status < 300:
        # A token is not an invite: whatever the server made of the request, no SMS has left.
        code, said = read_error_body(response, secrets)
        what = " ".join(filter(None, (f"HTTP {status}", code, said)))
        raise InviteNotSentError(
            _no_token(f"{what}; check the connection's login and password"),
            http_status=status,
            code=code,
            vendor_text=said,
            retry_after=response.retry_after,
            retryable=status == 429 or status >= 500,
            account_fault=status < 500 and status != 429,
        )
    try:
        body = response.json()
    except ValueError as error:
        raise InviteNotSentError(_no_token(str(error)), http_status=status) from None
    token = body.get("access_token") if isinstance(body, dict) else None
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
        raise InviteNotSentError(_no_token("the answer has no usable access_token"), http_status=status)
    expires_in = as_int(body.get("expires_in"))
    lifetime = max((expires_in if expires_in is not None else 3600) - _EARLY_SECONDS, _SHORTEST_LIFE_SECONDS)
    return _Token(token, time.monotonic() + lifetime)


def _no_token(problem: str) -> Reason:
    return Reason(ReasonCode.NO_TOKEN, "No access token", detail=problem)
