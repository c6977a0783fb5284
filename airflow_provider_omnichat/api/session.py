"""The ``requests`` session of the sync client: a connection that was never made is not one that broke."""

from __future__ import annotations

import re
import socket
import ssl
import time
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError, ProtocolError

from airflow_provider_omnichat import __version__
from airflow_provider_omnichat.api.errors import TransportError
from airflow_provider_omnichat.api.route import Route

_LENGTH = re.compile(r"\d+\s*", re.ASCII)
_STATUS_LINE = re.compile(rb"HTTP/\d\.\d (\d{3})\s")
_LONGEST_HEAD = 1 << 16


@dataclass(eq=False, repr=False)
class NotConnectedError(Exception):
    """No connection was made, so nothing of the request has left. urllib3 and requests pass it on unwrapped."""

    cause: Exception

    def explain(self, route: Route) -> TransportError:
        """Return what happened on the route."""
        match self.cause:
            case _TunnelRefusedError(args=(status,)):
                return route.refused(status)
            case _NoTunnelError():
                return route.unreadable()
            case NameResolutionError():
                return route.unresolved()
            case NewConnectionError() as cause:  # to urllib3, one kind of ConnectTimeoutError
                return route.broken(cause)
            case ConnectTimeoutError() | TimeoutError():
                return route.late()
            case cause:
                return route.broken(cause)


class _TunnelRefusedError(Exception):
    """The proxy answered with another status than 200, which is the argument."""


class _NoTunnelError(Exception):
    """The proxy did not answer with HTTP."""


class _OneDeadline:
    """A socket whose time-out covers everything that follows; Python's starts again with each byte received."""

    _end: float | None = None

    def settimeout(self, seconds: float | None) -> None:
        super().settimeout(seconds)  # type: ignore[misc]
        self._end = time.monotonic() + seconds if seconds else None

    def recv(self, *args: Any) -> bytes:
        self._apply_deadline()
        return super().recv(*args)  # type: ignore[misc, no-any-return]

    def recv_into(self, *args: Any) -> int:
        self._apply_deadline()
        return super().recv_into(*args)  # type: ignore[misc, no-any-return]

    def _apply_deadline(self) -> None:
        if self._end is not None:
            if (left := self._end - time.monotonic()) <= 0:
                raise TimeoutError("timed out")
            super().settimeout(left)  # type: ignore[misc]


class _Socket(_OneDeadline, socket.socket): ...


class _TlsSocket(_OneDeadline, ssl.SSLSocket): ...


class _OneAnswer:
    """A connection on which an answer can only be that of the request before it."""

    # urllib3 takes what came before the request was written for the answer, too. It raises the same errors for what
    # fails on the way to the server, after which nothing was sent, and for what breaks later.
    sock: Any
    timeout: Any

    def connect(self) -> None:
        try:
            super().connect()  # type: ignore[misc]
        except Exception as error:  # any error: the request is written later
            raise NotConnectedError(error) from error

    def _new_conn(self) -> socket.socket:
        end = time.monotonic() + self.timeout
        made: socket.socket = super()._new_conn()  # type: ignore[misc]
        timed = _Socket(made.family, made.type, made.proto, made.detach())
        timed.settimeout(max(end - time.monotonic(), 0.001))  # for a tunnel and TLS, too
        return timed

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is None:
            self.connect()
        self._unsent = b""
        super().request(*args, **kwargs)  # type: ignore[misc]
        left, end = self._unsent, time.monotonic() + self.timeout
        while left:
            if not _is_silent(self.sock):
                if left is self._unsent:
                    raise NotConnectedError(ConnectionError())
                raise ProtocolError("an answer came before the request was written")
            self.sock.settimeout(max(end - time.monotonic(), 0.001))
            try:
                left = left[self.sock.send(left) :]
            except OSError as error:  # urllib3 would look for an answer all the same
                raise ProtocolError("the request could not be written") from error

    def getresponse(self) -> Any:
        response = super().getresponse()  # type: ignore[misc]
        lengths = response.headers.getlist("Content-Length")
        # Also two equal ones, which RFC 9110 8.6 leaves to the client: aiohttp refuses them, and both clients must say
        # the same about an invite.
        if lengths and (
            len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]) or "Transfer-Encoding" in response.headers
        ):
            raise ProtocolError("the answer says in two ways how long it is")
        return response

    def send(self, data: bytes) -> None:
        self._unsent += data  # nothing leaves before the request is complete


def _is_silent(sock: Any) -> bool:
    """Return whether nothing has come on a connection, neither a byte nor its end; else it cannot be used."""
    sock.settimeout(0)
    try:
        sock.recv(1)
    except OSError as error:
        return isinstance(error, BlockingIOError | ssl.SSLWantReadError)
    return False


class _Connection(_OneAnswer, HTTPConnection): ...  # type: ignore[misc]


class _SecureConnection(_OneAnswer, HTTPSConnection):  # type: ignore[misc]
    _tunnel_headers: dict[str, str]

    def _tunnel(self) -> None:
        # In place of that of http.client, which has the proxy's status in prose alone.
        host = str(self._tunnel_host)
        target = f"[{host.strip('[]')}]:{self._tunnel_port}" if ":" in host else f"{host}:{self._tunnel_port}"
        headers = {"Host": target, **self._tunnel_headers}
        lines = [f"CONNECT {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        self.sock.sendall("\r\n".join(lines).encode("latin-1"))
        status, rest = self._answer(b"")
        while 100 <= status < 200:
            status, rest = self._answer(rest)
        if status != 200:
            raise _TunnelRefusedError(status)

    def _answer(self, data: bytes) -> tuple[int, bytes]:
        """Read one head of the proxy's answer; return its status and the bytes after it."""
        while b"\r\n\r\n" not in data:
            piece = self.sock.recv(4096)
            data += piece
            is_http = b"\n" not in data or _STATUS_LINE.match(data)
            if not piece:
                raise EOFError
            if not is_http or len(data) > _LONGEST_HEAD:
                raise _NoTunnelError
        line = _STATUS_LINE.match(data)
        if line is None:
            raise _NoTunnelError
        return int(line[1]), data.partition(b"\r\n\r\n")[2]


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class _Adapter(HTTPAdapter):
    def __init__(self, route: Route) -> None:
        self._route = route
        # max_retries is left at 0: urllib3 must never send a POST again by itself.
        super().__init__(pool_maxsize=32)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._route.context, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        context = self._route.context
        manager = super().proxy_manager_for(proxy, ssl_context=context, proxy_ssl_context=context, **kwargs)
        manager.pool_classes_by_scheme = self.poolmanager.pool_classes_by_scheme
        return manager

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        return self._route.proxy.headers if self._route.proxy else {}

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        # In place of what requests would set: trust from its own reading of the environment.
        manager = self.proxy_manager_for(self._route.proxy.url) if self._route.proxy else self.poolmanager
        return manager.connection_from_url(request.url)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Do nothing: the route's context has all that is trusted."""


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return None: requests follows no redirect here, but would read its body and parse its address."""


def new_session(route: Route) -> requests.Session:
    """Return a session that raises :class:`NotConnectedError` beside the errors of requests and urllib3."""
    if route.context:
        route.context.sslsocket_class = _TlsSocket
    session = _Session()
    session.trust_env = False  # the route comes from it already, and a .netrc would bring other credentials
    if route.proxy:
        session.proxies = {"http": route.proxy.url, "https": route.proxy.url}
    session.headers["Accept-Encoding"] = "identity"  # an answer is short, and a compressed one could be of any size
    session.headers["User-Agent"] = f"airflow-provider-omnichat/{__version__} {requests.utils.default_user_agent()}"
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.mount("https://", _Adapter(route))
    session.mount("http://", _Adapter(route))
    return session
