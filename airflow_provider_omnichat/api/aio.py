"""The async client, for many invites at once: one attempt a call, the pace and the repeats are the caller's."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import aiohttp
from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies, select_proxy
from yarl import URL

from airflow_provider_omnichat import __version__
from airflow_provider_omnichat.api.account import Account
from airflow_provider_omnichat.api.auth import OAuth2Credentials, TokenCache
from airflow_provider_omnichat.api.client import CONNECT_TIMEOUT, LARGEST_BODY
from airflow_provider_omnichat.api.errors import AccountError, InviteNotSentError, TransportError
from airflow_provider_omnichat.api.models import Invite, InviteAnswer
from airflow_provider_omnichat.api.privacy import scrub
from airflow_provider_omnichat.api.wire import (
    READ_HEADERS,
    HttpRequest,
    HttpResponse,
    error_of_transport,
    invite_request,
    read_invite_response,
)

# Shorter than servers usually keep an idle connection: one that the server closes just as a request goes out would
# leave an invite in doubt.
_KEEP_ALIVE = 5.0
_UNUSABLE = "the address, or that of a proxy, cannot be used; check the connection's host"


class AsyncOmnichatClient:
    """
    Talks to the vendor for one account; use it as ``async with``.

    :param account: where to send and as whom.
    :param concurrency: connections at most.
    :param on_token: called with each new access token, so that the caller can have it masked in logs.
    """

    def __init__(self, account: Account, concurrency: int = 32, on_token: Callable[[str], None] | None = None) -> None:
        self.account = account
        self._concurrency = concurrency
        self._on_token = on_token
        self._token = TokenCache()
        self._token_lock = asyncio.Lock()
        self._authorization = account.credentials.authorization
        self._secrets = account.credentials.secrets
        self._session: aiohttp.ClientSession | None = None
        self._proxy: str | None = None

    async def __aenter__(self) -> AsyncOmnichatClient:
        url = self.account.base_url
        proxy = select_proxy(url, get_environ_proxies(url))
        self._proxy = proxy if proxy is None or "://" in proxy else f"http://{proxy}"
        connect = min(self.account.timeout, CONNECT_TIMEOUT)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._concurrency,
                keepalive_timeout=_KEEP_ALIVE,
                ssl=_ssl_context() if url.startswith("https:") else True,
            ),
            # One timer for all that follows the connection, whose own ends first: a connection that does not come about
            # is certain. Another between two pieces of an answer (sock_read) would cost a tenth of the speed, and would
            # not end headers that drip.
            timeout=aiohttp.ClientTimeout(total=connect + self.account.timeout, connect=connect),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"airflow-provider-omnichat/{__version__} aiohttp/{aiohttp.__version__}"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def send_once(self, invite: Invite) -> InviteAnswer:
        """
        Send one invite in one attempt.

        :param invite: a checked invite.
        :return: the answer of an accepted invite.
        :raises InviteRejectedError: the vendor refused it.
        :raises InviteNotSentError: the vendor certainly did not take it; ``repeatable`` tells whether another attempt
            helps.
        :raises InviteUnknownError: it may have been sent, or not.
        """
        request = invite_request(invite)
        authorization = self._authorization or await self._bearer()
        try:
            response = await self._exchange(request, authorization)
            if response.status == 401 and self._token.end(authorization):
                # The token may have ended early. 401 means that nothing was taken, so once more with a new one is safe.
                response = await self._exchange(request, await self._bearer())
        except TransportError as error:
            raise error_of_transport(error) from error
        hidden = (invite.to, invite.message, *self._secrets, self._token.value or "")
        return read_invite_response(response, hidden)

    async def _bearer(self) -> str:
        credentials = self.account.credentials
        assert isinstance(credentials, OAuth2Credentials), "the others need no token"
        async with self._token_lock:
            authorization = self._token.authorization
            if authorization is None:
                try:
                    response = await self._exchange(credentials.token_request(), None)
                except TransportError as error:
                    # However it broke, only a token was asked for, so no invite has left.
                    raise InviteNotSentError(f"No OAuth2 token: {error.problem}", repeatable=True) from error
                token = credentials.read_token(response)
                if self._on_token:
                    self._on_token(token.value)
                self._token.keep(token)
                authorization = token.authorization
            return authorization

    async def _exchange(self, request: HttpRequest, authorization: str | None) -> HttpResponse:
        """Send one request once; raise TransportError when no answer comes."""
        assert self._session is not None, "use the client as `async with`"
        headers = {**request.headers, "Authorization": authorization} if authorization else request.headers
        timeout = self.account.timeout
        try:
            url = URL(self.account.base_url + request.path, encoded=True)
        except ValueError as error:
            raise TransportError(_UNUSABLE, written=False) from error
        try:
            async with self._session.request(
                request.method,
                url,
                headers=headers,
                data=request.body,
                allow_redirects=False,
                proxy=self._proxy,
            ) as response:
                had = response.headers
                found = {name: ", ".join(had.getall(name)) for name in READ_HEADERS if name in had}
                return HttpResponse(response.status, found, await _read_body(response, timeout))
        except UnicodeError:  # a host name that cannot be one
            raise TransportError(_UNUSABLE, written=False) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # Without the cause: aiohttp shows in it what the server wrote, and a proxy's password.
            raise _transport_error(error, timeout) from None


def _ssl_context() -> ssl.SSLContext:
    """Trust what ``requests`` trusts, so that both clients work behind the same corporate proxy."""
    trusted = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or DEFAULT_CA_BUNDLE_PATH
    try:
        if Path(trusted).is_dir():
            return ssl.create_default_context(capath=trusted)
        return ssl.create_default_context(cafile=trusted)
    except OSError as error:
        raise AccountError(
            f"The CA certificate bundle {trusted} cannot be used ({error.strerror or error}); see REQUESTS_CA_BUNDLE"
        ) from error


async def _read_body(response: aiohttp.ClientResponse, seconds: float) -> bytes | None:
    """Read what an answer of the vendor can hold; None when it breaks off, drips past the time-out or is too large."""
    content = response.content
    if content.is_eof() and content.exception() is None:  # short ones come together with the headers
        body = content.read_nowait()
        return body if len(body) <= LARGEST_BODY else None
    body = b""
    try:
        async with asyncio.timeout(seconds):
            async for chunk in content.iter_any():
                body += chunk
                if len(body) > LARGEST_BODY:
                    return None
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None  # the status still tells, and of a 2xx without a body the caller says "unknown"
    return body


def _transport_error(error: Exception, timeout: float) -> TransportError:
    match error:
        case aiohttp.ConnectionTimeoutError():
            return TransportError(
                "no connection in time; is the host right, does a firewall or proxy stand between?", written=False
            )
        case aiohttp.ClientConnectorDNSError():
            return TransportError("the host name cannot be resolved; check the connection's host", written=False)
        case aiohttp.ClientHttpProxyError():
            return TransportError(f"no connection through the proxy: it answered HTTP {error.status}", written=False)
        case aiohttp.ClientProxyConnectionError():
            return TransportError(f"no connection through the proxy: {scrub(str(error))}", written=False)
        case aiohttp.ClientConnectorError() | aiohttp.ClientConnectorCertificateError():
            return TransportError(f"no connection: {scrub(str(error))}", written=False)
        case aiohttp.InvalidURL():
            return TransportError(_UNUSABLE, written=False)
        case TimeoutError():
            return TransportError(f"no answer within {timeout:g} seconds")
        case _:
            return TransportError(f"the connection broke before an answer came ({type(error).__name__})")
