"""The ``requests`` session of the sync client: it tells a connection that never came about from one that broke."""

from __future__ import annotations

import re
import time
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from airflow_provider_omnichat import __version__
from airflow_provider_omnichat.api.errors import TransportError
from airflow_provider_omnichat.api.route import Route

_STATUS_LINE = re.compile(rb"HTTP/\d\.\d (\d{3})\s")
_LONGEST_HEAD = 1 << 16


class NotConnectedError(Exception):
    """
    No connection came about, so that nothing of the request has left.

    It is none of the errors that urllib3 and requests wrap: both pass it on as it is.

    :param cause: what happened.
    """

    def __init__(self, cause: Exception) -> None:
        super().__init__(cause)
        self.cause = cause

    def explain(self, route: Route) -> TransportError:
        """
        Say what happened.

        :param route: that was tried.
        """
        match self.cause:
            case _TunnelRefusedError() as refusal:
                return route.refused(refusal.status)
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
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _NoTunnelError(Exception):
    """What the proxy answered is no HTTP."""


class _Connection(HTTPConnection):
    def connect(self) -> None:
        try:
            super().connect()
        except Exception as error:  # whatever it is: the request is written later
            raise NotConnectedError(error) from error


class _SecureConnection(HTTPSConnection):
    """
    Over TLS, perhaps through the tunnel of a proxy.

    urllib3 raises the same errors for what fails on the way there and for what breaks later. After the first nothing
    was sent, after the second nobody knows.
    """

    _tunnel_headers: dict[str, str]

    def connect(self) -> None:
        try:
            super().connect()
        except Exception as error:  # whatever it is: the request is written later
            raise NotConnectedError(error) from error

    def _tunnel(self) -> None:
        """
        Have the proxy open the tunnel.

        In place of that of ``http.client``, which gives the proxy's status in prose alone, and waits anew for each byte
        of a proxy that drips.
        """
        host = str(self._tunnel_host)
        target = f"[{host.strip('[]')}]:{self._tunnel_port}" if ":" in host else f"{host}:{self._tunnel_port}"
        headers = {"Host": target, **self._tunnel_headers}
        lines = [f"CONNECT {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        self.sock.sendall("\r\n".join(lines).encode("latin-1"))
        deadline = time.monotonic() + float(self.timeout or 0)
        status, rest = self._answer(b"", deadline)
        while 100 <= status < 200:
            status, rest = self._answer(rest, deadline)
        if status != 200:
            raise _TunnelRefusedError(status)
        self.sock.settimeout(self.timeout)

    def _answer(self, data: bytes, deadline: float) -> tuple[int, bytes]:
        """Read one head of the proxy's; give its status, and what came behind it."""
        while b"\r\n\r\n" not in data:
            self.sock.settimeout(max(deadline - time.monotonic(), 0.001))
            piece = self.sock.recv(4096)
            data += piece
            is_rubbish = b"\n" in data and not _STATUS_LINE.match(data)
            if not piece:
                raise EOFError
            if is_rubbish or len(data) > _LONGEST_HEAD:
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
        # What requests would set beside it: the trust of its own reading of the environment.
        manager = self.proxy_manager_for(self._route.proxy.url) if self._route.proxy else self.poolmanager
        return manager.connection_from_url(request.url)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Add nothing: the route's context has all that is trusted."""


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Give none: requests follows no redirect here, but would still read its body and parse its address."""


def new_session(route: Route) -> requests.Session:
    """
    Make a session whose connections take a route.

    It raises :class:`NotConnectedError` beside the errors of requests and urllib3.

    :param route: to the vendor's host.
    """
    session = _Session()
    session.trust_env = False  # the route has been read of it, and a .netrc would bring other credentials
    if route.proxy:
        session.proxies = {"http": route.proxy.url, "https": route.proxy.url}
    session.headers["User-Agent"] = f"airflow-provider-omnichat/{__version__} {requests.utils.default_user_agent()}"
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.mount("https://", _Adapter(route))
    session.mount("http://", _Adapter(route))
    return session
