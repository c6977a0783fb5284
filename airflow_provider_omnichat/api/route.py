"""The route to the vendor: its proxy and trusted certificates, and the errors of a failed connection."""

from __future__ import annotations

import os
import re
import ssl
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies

from airflow_provider_omnichat.api.errors import AccountError, TransportError
from airflow_provider_omnichat.api.hints import PROXY_CREDENTIALS
from airflow_provider_omnichat.api.privacy import scrub
from airflow_provider_omnichat.api.reasons import ReasonCode

CONNECT_TIMEOUT_SECONDS = 10.0

CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""The variables that name the trusted certificates, as a file or a directory; the first that is set counts."""

_HASHED_NAME = re.compile(r"[0-9a-f]{8}\.\d+")
_NOT_IN_A_HOST = frozenset("\\<>\"'{}|^`% ")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that the environment names with *variable*."""

    url: str  # without credentials, so that no error of a library can show them
    variable: str
    authorization: str | None = field(default=None, repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """The headers for the proxy alone."""
        return {"Proxy-Authorization": self.authorization} if self.authorization else {}


@dataclass(frozen=True, slots=True)
class Route:
    """How the vendor's host is reached. *trusted* says for people whose certificates the TLS *context* trusts."""

    proxy: Proxy | None
    context: ssl.SSLContext | None
    trusted: str

    # For both clients, because requests and aiohttp read the environment differently.
    @classmethod
    def from_environment(cls, base_url: str) -> Route:
        """Read the variables for the vendor's URL; an AccountError names the one that cannot be used."""
        proxy = _proxy_for(base_url)
        if not base_url.startswith("https:") and not (proxy and proxy.url.startswith("https:")):
            return cls(proxy, None, "")
        return cls(proxy, *_trust())

    def refused(self, status: int) -> TransportError:
        """Build the error for a proxy that refuses to open a tunnel."""
        hint = f" ({PROXY_CREDENTIALS})" if status == 407 else ""
        return self._no_connection(f"the proxy answered HTTP {status}{hint}")

    def unreadable(self) -> TransportError:
        """Build the error for a proxy that does not answer with HTTP."""
        return self._no_connection("the proxy did not answer with HTTP; is it an HTTP proxy?")

    def unresolved(self) -> TransportError:
        """Build the error for a host name that does not resolve."""
        if self.proxy:
            return self._no_connection("the proxy's host name cannot be resolved")
        return _not_connected("the host name cannot be resolved; check the connection's host")

    def late(self) -> TransportError:
        """Build the error for a connection, tunnel or TLS handshake that took too long."""
        if self.proxy:
            return self._no_connection("the time-out passed")
        return _not_connected(
            "no connection in time; is the host right, does it speak TLS, is a firewall or proxy in between?"
        )

    def unusable(self) -> TransportError:
        """Build the error for an invalid address."""
        return _not_connected("the address cannot be used; check the connection's host")

    def broken(self, error: BaseException) -> TransportError:
        """Build the error for any other failure before the request was written."""
        while error.__cause__ is not None:  # what the libraries have wrapped
            error = error.__cause__
        match error:
            case ssl.SSLCertVerificationError():
                said = f"TLS: certificate verify failed ({error.verify_message}); trusted is {self.trusted}"
            case ssl.SSLError(reason=str() as reason):
                said = f"TLS: {reason.replace('_', ' ').lower()}"
            case OSError(errno=int() as number) if number > 0:
                said = os.strerror(number)  # without the address, which libraries add
            case ValueError():
                return self.unusable()
            case ConnectionError() | EOFError():
                said = "it was closed before it was ready"
            case _:
                said = type(error).__name__
        return self._no_connection(scrub(said))

    @staticmethod
    def unanswered(timeout: float) -> TransportError:
        """Build the error for a request that was written, and not answered in time."""
        return TransportError(ReasonCode.READ_TIMEOUT, f"no answer within {timeout:g} seconds")

    @staticmethod
    def interrupted(error: Exception) -> TransportError:
        """Build the error for any other failure once the request may have been written."""
        said = f"the connection broke before an answer came ({type(error).__name__})"
        return TransportError(ReasonCode.CONNECTION_BROKEN, said)

    def _no_connection(self, said: str) -> TransportError:
        through = f" through the proxy of {self.proxy.variable}" if self.proxy else ""
        return _not_connected(f"no connection{through}: {said}")


def _not_connected(problem: str) -> TransportError:
    return TransportError(ReasonCode.NO_CONNECTION, problem, written=False)


def _proxy_for(base_url: str) -> Proxy | None:
    proxies = get_environ_proxies(base_url)  # empty where no_proxy names the host
    name = next((name for name in (urlsplit(base_url).scheme, "all") if proxies.get(name)), None)
    if name is None:
        return None
    variable = _variable(f"{name}_proxy")
    text = proxies[name].strip()
    parts = _parts(text if "://" in text else f"http://{text}")
    if parts is None:
        raise _unusable_proxy(
            variable,
            "is not an address; write it like http://proxy.example:3128, and special characters in user and password"
            " percent-encoded",
        )
    if parts.scheme not in {"http", "https"}:
        kind = "a SOCKS proxy" if parts.scheme.startswith("socks") else "another kind of proxy than http and https"
        raise _unusable_proxy(
            variable, f"names {kind}; give an http:// proxy, or the vendor's host in no_proxy for a direct connection"
        )
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    url = f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}"
    return Proxy(url, variable, _basic(parts))


def _variable(name: str) -> str:
    """Return the name as the environment spells it; the lower-case one counts if both are set."""
    if os.environ.get(name):
        return name
    found = (each for each, value in os.environ.items() if each.lower() == name and value)
    return next(found, "the system's settings")


def _parts(url: str) -> SplitResult | None:
    """Split the address of a proxy; None if it is invalid. Raises nothing: an error here would show a password."""
    try:
        parts = urlsplit(url) if url.isprintable() else None
        host = parts.hostname if parts else None
        if parts is None or not host or parts.port == 0 or not host.encode("idna") or _NOT_IN_A_HOST & set(host):
            return None
    except ValueError:
        return None
    # A "/", "?" or "#" in a password ends the host there, and the rest of it would be looked up as a name.
    return parts if parts.path in {"", "/"} and not parts.query and not parts.fragment else None


def _basic(parts: SplitResult) -> str | None:
    if not parts.username:
        return None
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    try:
        data = pair.encode("latin-1")  # as requests and aiohttp do
    except UnicodeEncodeError:
        data = pair.encode("utf-8", "replace")
    return f"Basic {b64encode(data).decode()}"


def _unusable_proxy(variable: str, why: str) -> AccountError:
    return AccountError(f"The proxy of {variable} cannot be used: it {why}")


def _trust() -> tuple[ssl.SSLContext, str]:
    variable = next((name for name in CA_VARIABLES if os.environ.get(name, "").strip()), None)
    path = os.environ[variable].strip() if variable else DEFAULT_CA_BUNDLE_PATH
    trusted = f"the CA certificate bundle {path} ({variable or 'of the certifi package'})"
    # OpenSSL reads a list of directories, too.
    places = [Path(path)] if Path(path).exists() else [Path(each) for each in path.split(os.pathsep) if each]
    problem = None
    try:
        if places and all(place.is_dir() for place in places):
            files = (each.name for place in places for each in place.iterdir() if each.is_file())
            if not any(map(_HASHED_NAME.fullmatch, files)):
                problem = "no certificate in the directory has a hash for its name; run `openssl rehash` on it"
            context = ssl.create_default_context(capath=path)
        else:
            context = ssl.create_default_context(cafile=path)
            if not context.cert_store_stats()["x509"]:
                problem = "it holds no certificate"
    except ssl.SSLError:
        problem = "it holds no certificate in PEM form, or a damaged one"
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or type(error).__name__
    if problem is not None:
        raise AccountError(f"Certificates cannot be verified: {trusted} cannot be used: {scrub(problem)}")
    context.hostname_checks_common_name = False  # as in requests; aiohttp leaves it to OpenSSL
    return context, trusted
