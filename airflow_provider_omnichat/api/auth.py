"""The three ways to put credentials into the one ``Authorization`` header of the vendor."""

from __future__ import annotations

import time
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlencode

from airflow_provider_omnichat.api.errors import InviteNotSentError
from airflow_provider_omnichat.api.models import as_int
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.api.wire import HttpRequest, HttpResponse, error_of_http_status, read_error_body

_EARLY_SECONDS = 30.0
_SHORTEST_LIFE_SECONDS = 5.0


class Credentials(Protocol):
    """What a client needs to know of credentials."""

    @property
    def authorization(self) -> str | None:
        """The value of the header; None when a token has to be asked for first."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not show anywhere."""


@dataclass(frozen=True, slots=True)
class BasicCredentials:
    """User name and password (``Basic``), as on the vendor's page of the invite."""

    user: str
    password: str = field(repr=False)

    @property
    def authorization(self) -> str:
        """The value of the header."""
        return "Basic " + b64encode(f"{self.user}:{self.password}".encode()).decode()

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not show anywhere."""
        return (self.password, self.authorization.removeprefix("Basic "))


@dataclass(frozen=True, slots=True)
class ApiKeyCredentials:
    """An API key (``App``), which the vendor recommends."""

    key: str = field(repr=False)

    @property
    def authorization(self) -> str:
        """The value of the header."""
        return f"App {self.key}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not show anywhere."""
        return (self.key,)


@dataclass(frozen=True, slots=True)
class Token:
    """
    An OAuth2 access token.

    :param lifetime: seconds from now until another one should be asked for.
    """

    value: str = field(repr=False)
    lifetime: float

    @property
    def authorization(self) -> str:
        """The value of the header."""
        return f"Bearer {self.value}"


class TokenCache:
    """The token that is in use. Does not lock: each client has its own kind of lock around it."""

    def __init__(self) -> None:
        self._token: Token | None = None
        self._ends = 0.0

    @property
    def value(self) -> str | None:
        """The token, also one that has ended; None before the first."""
        return self._token.value if self._token else None

    @property
    def authorization(self) -> str | None:
        """The value of the header; None when a token has to be asked for."""
        return self._token.authorization if self._token and time.monotonic() < self._ends else None

    def keep(self, token: Token) -> None:
        """Use a token from now on."""
        self._token, self._ends = token, time.monotonic() + token.lifetime

    def end(self, authorization: str) -> bool:
        """
        Give up a token that was refused; tell whether another one can be asked for.

        :param authorization: the header that was refused. If another token is in use by now, that one stays.
        """
        if self._token is None:
            return False
        if self._token.authorization == authorization:
            self._ends = 0.0
        return True


@dataclass(frozen=True, slots=True)
class OAuth2Credentials:
    """Client id and secret, exchanged for a token that expires (``Bearer``); there is no refresh token."""

    client_id: str
    client_secret: str = field(repr=False)

    @property
    def authorization(self) -> None:
        """None: a token has to be asked for."""
        return None

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not show anywhere."""
        return (self.client_secret,)

    def token_request(self) -> HttpRequest:
        """Build the request for a token."""
        form = {
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "grant_type": "client_credentials",
        }
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        return HttpRequest("POST", "/auth/1/oauth2/token", headers, urlencode(form).encode())

    def read_token(self, response: HttpResponse) -> Token:
        """
        Read the answer to :meth:`token_request`.

        :raises InviteNotSentError: no token came, so that no invite was sent either.
        """
        if not 200 <= response.status < 300:
            # A token is not an invite: whatever the server made of the request, no SMS has left.
            found = error_of_http_status(response, self.secrets)
            code, said = read_error_body(response, self.secrets)
            told = " ".join(part for part in (code, said) if part)
            raise InviteNotSentError(
                no_token(
                    f"HTTP {response.status}{f' {told}' if told else ''}; check client id and secret in the"
                    " connection's login and password"
                ),
                http_status=response.status,
                code=code,
                vendor_text=said,
                retry_after=found.retry_after,
                retryable=response.status == 429 or response.status >= 500,
                account_fault=response.status < 500 and response.status != 429,
            )
        try:
            body = response.json()
        except ValueError as error:
            raise InviteNotSentError(no_token(str(error)), http_status=response.status) from None
        token = body.get("access_token") if isinstance(body, dict) else None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
            raise InviteNotSentError(no_token("the answer has no usable access_token"), http_status=response.status)
        expires_in = as_int(body.get("expires_in"))
        lifetime = max((expires_in if expires_in is not None else 3600) - _EARLY_SECONDS, _SHORTEST_LIFE_SECONDS)
        return Token(token, lifetime)


def no_token(problem: str) -> Reason:
    """
    Give the reason of an invite for which no access token could be had, so that it was not sent.

    :param problem: what happened, for people.
    """
    return Reason(ReasonCode.NO_TOKEN, "No OAuth2 token", detail=problem)
