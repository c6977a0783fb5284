"""The async client, for many invites at once: one attempt a call; pace and repeats are the caller's."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import Any

import aiohttp
from yarl import URL

from airflow_provider_omnichat import __version__
from airflow_provider_omnichat.api import wire
from airflow_provider_omnichat.api.account import Account
from airflow_provider_omnichat.api.auth import AuthFlow, Login
from airflow_provider_omnichat.api.errors import InviteUnknownError, TransportError
from airflow_provider_omnichat.api.models import Invite, InviteAnswer
from airflow_provider_omnichat.api.reasons import ReasonCode
from airflow_provider_omnichat.api.route import CONNECT_TIMEOUT_SECONDS, Route
from airflow_provider_omnichat.api.wire import HttpRequest, HttpResponse

# Shorter than servers usually keep an idle connection: one that the server closes just as a request goes out would
# leave an invite in doubt.
_KEEP_ALIVE_SECONDS = 5.0
# Data that nobody asked for, or the end; only Linux reports the end of one direction.
_UNASKED = select.POLLIN | getattr(select, "POLLRDHUP", 0)


class AsyncOmnichatClient:
    """
    Talks to the vendor for one account; use it as ``async with``.

    :param account: where to send and as whom.
    :param concurrency: connections at most.
    :param on_token: called with each new access token, so that the caller can have it masked in logs.
    :raises AccountError: on entry; a proxy or the certificates that the environment names cannot be used.
    """

    def __init__(self, account: Account, concurrency: int = 32, on_token: Callable[[str], None] | None = None) -> None:
        self.account = account
        self._concurrency = concurrency
        self._login = Login(account.credentials, on_token)
        self._token_lock = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None
        self._proxy: URL | None = None
        self._proxy_headers: dict[str, str] | None = None

    async def __aenter__(self) -> AsyncOmnichatClient:
        url = self.account.base_url
        self._route = route = Route.from_environment(url)
        headers = {
            "User-Agent": f"airflow-provider-omnichat/{__version__} aiohttp/{aiohttp.__version__}",
            "Accept-Encoding": "identity",  # an answer is short, and a compressed one could be of any size
        }
        if route.proxy:
            self._proxy = URL(route.proxy.url)
            if url.startswith("https:"):
                self._proxy_headers = route.proxy.headers
            else:  # the proxy reads the request itself
                headers |= route.proxy.headers
        connect = min(self.account.timeout, CONNECT_TIMEOUT_SECONDS)
        self._connector = _Connector(route, limit=self._concurrency, keepalive_timeout=_KEEP_ALIVE_SECONDS)
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            # One timer for everything, and a shorter one for the connection: if that fails, nothing was sent. A timer
            # between two pieces of an answer (sock_read) would cost a tenth of the speed, and headers that drip would
            # not end.
            timeout=aiohttp.ClientTimeout(total=connect + self.account.timeout, connect=connect),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers=headers,
        )
        return self

    async def __aexit__(self, *failure: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def send_once(self, invite: Invite) -> InviteAnswer:
        """
        Send one invite in one attempt, and return the answer if it is accepted.

        :raises InviteRejectedError: the vendor refused it.
        :raises InviteNotSentError: the vendor certainly did not take it; another attempt may help if ``retryable``.
        :raises InviteUnknownError: it may have been sent, or not.
        """
        try:
            response = await self.exchange(invite.request())
        except TransportError as error:
            raise wire.error_of_transport(error) from error
        try:
            return invite.read(response, self.secrets)
        except InviteUnknownError as error:
            if error.reason.code is ReasonCode.ANSWER_FOR_ANOTHER:
                self._connector.age += 1  # nobody knows whose answers come next on its connections
            raise

    async def exchange(self, request: HttpRequest) -> HttpResponse:
        """Send one request once, with the account's credentials; see :meth:`Login.flow`."""
        response: HttpResponse = await self._run(self._login.flow(request))
        return response

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not show in an error."""
        return self._login.secrets

    async def _run(self, flow: AuthFlow) -> Any:
        """Drive a flow of :class:`Login`: send its requests, and run a flow for a token under the lock."""
        try:
            found: Any = None
            while True:
                step = flow.send(found)
                if isinstance(step, HttpRequest):
                    found = await self._send(step)
                else:
                    async with self._token_lock:
                        found = await self._run(step)
        except StopIteration as end:
            return end.value
        except TransportError as error:
            flow.throw(error)
            raise

    async def _send(self, request: HttpRequest) -> HttpResponse:
        """Send one request once; raise TransportError when no answer comes."""
        assert self._session is not None, "use the client as `async with`"
        timeout = self.account.timeout
        try:
            url = URL(self.account.base_url + request.path, encoded=True)
        except ValueError:
            raise self._route.unusable() from None
        try:
            async with self._session.request(
                request.method,
                url,
                headers=request.headers,
                data=request.body,
                allow_redirects=False,
                proxy=self._proxy,
                proxy_headers=self._proxy_headers,
            ) as response:
                transport = response.connection and response.connection.transport
                if transport and transport.get_write_buffer_size():
                    response.close()
                    raise aiohttp.ClientConnectionError("an answer came before the request was written")
                had = response.headers
                found = {name: ", ".join(had.getall(name)) for name in wire.READ_HEADERS if name in had}
                return HttpResponse(response.status, found, await _read_body(response))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            failure = error
        # Raised outside the handler, so that the error has no context: aiohttp shows in it what the server wrote.
        raise _transport_error(failure, self._route, timeout)


class _Connector(aiohttp.TCPConnector):
    """Returns a connection on which nothing has come unasked, or raises an error which says that nothing was sent."""

    def __init__(self, route: Route, **kwargs: Any) -> None:
        super().__init__(ssl=route.context or True, **kwargs)
        self._route = route
        #: Connections of an earlier age are not used again.
        self.age = 0

    async def connect(self, req: Any, traces: Any, timeout: Any) -> Any:  # noqa: ASYNC109 - aiohttp's own parameter
        try:
            while True:
                connection: Any = await super().connect(req, traces, timeout)
                protocol = connection.protocol
                # Made once for each connection, and kept on it, so that both end together.
                watch, age = getattr(protocol, "omnichat_watch", (None, self.age))
                if is_new := watch is None:
                    watch = _watch(connection)
                    protocol.omnichat_watch = (watch, age)
                is_fit = age == self.age and not protocol.should_close
                # A server's first words over TLS are the tickets of the session.
                if is_fit and (not watch.poll(0) or (is_new and connection.transport.get_extra_info("sslcontext"))):
                    return connection
                connection.close()
                if is_new:
                    raise ConnectionError
        except Exception as error:  # any error: the request is written later; aiohttp raises the same ones after that
            failure = error
        # Outside the handler: aiohttp shows in its errors what the proxy wrote, and a proxy's password.
        raise _not_connected(failure, self._route)


def _watch(connection: Any) -> select.poll:
    # Polled before each request, for data or the end of the connection that the event loop may not have seen yet: a
    # request written then goes nowhere, or finds another's answer.
    watch = select.poll()
    watch.register(connection.transport.get_extra_info("socket").fileno(), _UNASKED)
    return watch


async def _read_body(response: aiohttp.ClientResponse) -> bytes | None:
    """Read a body; None if it breaks off, drips past the time-out or is too large for an answer of the vendor."""
    content = response.content
    if content.is_eof() and content.exception() is None:  # short ones come together with the headers
        body = content.read_nowait()
        return body if len(body) <= wire.LARGEST_BODY else None
    body = b""
    try:
        async for chunk in content.iter_any():
            body += chunk
            if len(body) > wire.LARGEST_BODY:
                return None
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None  # the status still counts; a 2xx without a body leaves the invite in doubt
    return body


def _not_connected(error: Exception, route: Route) -> TransportError:
    match error:
        case aiohttp.ClientHttpProxyError():
            return route.refused(error.status)
        case aiohttp.ClientResponseError():
            return route.unreadable()
        case aiohttp.ServerDisconnectedError():
            return route.broken(ConnectionError())
        case aiohttp.ClientConnectorDNSError():
            return route.unresolved()
        case TimeoutError():
            return route.late()
        case _:
            return route.broken(error)


def _transport_error(error: Exception, route: Route, timeout: float) -> TransportError:
    match error:
        case aiohttp.InvalidURL():
            return route.unusable()
        case TimeoutError():
            return route.unanswered(timeout)
        case _:
            return route.interrupted(error)
