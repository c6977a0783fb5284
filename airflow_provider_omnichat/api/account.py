"""An account with the vendor: where to send and as whom, made of the fields of a connection and checked once."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

from airflow_provider_omnichat.api.auth import Credentials
from airflow_provider_omnichat.api.errors import AccountError

DEFAULT_HOST = "https://api.infobip.com"
DEFAULT_TIMEOUT_SECONDS = 30.0
DEFAULT_GRACE_SECONDS = 900.0
DEFAULT_LOG_DELAY_SECONDS = 600.0
AUTH_TYPES = ("basic", "api_key", "oauth2")

# The rest is for clocks that differ, and for a request that is long on its way.
_PART_OF_GRACE = 0.8
# https://www.infobip.com/docs/api (SMS): 3 to 11 letters and digits, or 3 to 14 digits
_SENDER = re.compile(r"[0-9]{3,14}|[A-Za-z0-9]{3,11}")
_LINE_ENDS = ("\n", "\r")
_FLAGS = {**dict.fromkeys(("true", "1", "yes", "on"), True), **dict.fromkeys(("false", "0", "no", "off", ""), False)}


@dataclass(frozen=True, slots=True)
class Account:
    """A checked account. *application_key*, *integration_type* and *sender* are those of invites that name none."""

    base_url: str
    credentials: Credentials
    application_key: str | None = None
    integration_type: str | None = None
    timeout: float = DEFAULT_TIMEOUT_SECONDS
    sender: str | None = None
    # For how long after its first request an invite may be repeated with the same id: most of the grace period of the
    # vendor's idempotent sending. None if the vendor has not enabled that.
    repeat_seconds: float | None = None
    log_delay: float = DEFAULT_LOG_DELAY_SECONDS  # after which a message that was taken is in the SMS logs

    @property
    def is_on_this_machine(self) -> bool:
        """Whether requests go to this machine: to a sandbox, or a tunnel."""
        return _is_loopback(urlsplit(self.base_url).hostname or "")

    @classmethod
    def from_fields(
        cls,
        *,
        host: str | None,
        schema: str | None = None,
        port: int | None,
        login: str | None,
        password: str | None,
        extra: Mapping[str, Any],
        warn: Callable[[str], object] = lambda _: None,
    ) -> Account:
        """
        Make an account of the fields of an Airflow connection; an AccountError lists everything that is wrong.

        :param schema: ``http`` or ``https``; anything else is the path that all requests begin with, where Airflow
            puts the path of a connection URI.
        :param extra: values may be text, since a connection URI can hold nothing else.
        :param warn: called with what was left out of a field.
        """
        problems: list[str] = []

        def collect(read: Callable[..., Any], *values: object) -> Any:
            # Every field is read before an error is raised, so that a user can correct all of them at once.
            try:
                return read(*values)
            except AccountError as error:
                problems.append(str(error))

        login = _without_line_end("login", login, warn)
        password = _without_line_end("password", password, warn)
        fields = {
            "base_url": collect(_base_url, host, schema, port, extra.get("allow_http")),
            "credentials": collect(_credentials, extra.get("auth_type"), login, password),
            **{name: collect(path_part, name, extra.get(name)) for name in ("application_key", "integration_type")},
            "timeout": collect(_seconds, "timeout", extra.get("timeout"), DEFAULT_TIMEOUT_SECONDS, 3600),
            "sender": collect(checked_sender, "sender", extra.get("sender")),
            "log_delay": collect(_seconds, "log_delay", extra.get("log_delay"), DEFAULT_LOG_DELAY_SECONDS),
        }
        grace = collect(_seconds, "idempotency_grace", extra.get("idempotency_grace"), DEFAULT_GRACE_SECONDS)
        is_idempotent = collect(_flag, "idempotent_sending", extra.get("idempotent_sending"))
        if problems:
            raise AccountError("; ".join(problems))
        return cls(**fields, repeat_seconds=_PART_OF_GRACE * grace if is_idempotent else None)


def path_part(name: str, value: object) -> str | None:
    """Check the value of a field that becomes part of the URL's path; empty is None."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise AccountError(f"must be a text, is a {type(value).__name__}", name)
    text = value.strip()
    if text in {"", ".", ".."} or not text.isprintable():
        raise AccountError("is blank, dots or has unprintable characters; copy it again from the vendor's portal", name)
    return text


def checked_sender(name: str, value: object) -> str | None:
    """Check what a phone shows as the sender of an SMS; empty is None."""
    text = "" if value is None else str(value).strip()
    if text and (isinstance(value, bool) or not _SENDER.fullmatch(text)):
        raise AccountError("must be 3 to 11 letters and digits, or 3 to 14 digits; no spaces, no plus", name)
    return text or None


def _without_line_end(name: str, value: str | None, warn: Callable[[str], object]) -> str | None:
    """Remove the line break that copying a secret, or reading it from a file, puts at its end."""
    if not value or not value.endswith(_LINE_ENDS):
        return value
    warn(f"{name}: ended in a line break, which is left out; store it without")
    return value.rstrip("".join(_LINE_ENDS))


def _base_url(host: str | None, schema: str | None, port: int | None, allow_http: object) -> str:
    url = (host or DEFAULT_HOST).strip()
    scheme, base_path = _scheme_and_path(schema)
    try:
        if not url.isprintable():  # urlsplit would drop a line break without a word
            raise ValueError
        parts = urlsplit(url if "://" in url else f"{scheme or 'https'}://{url}")
        own_port = parts.port
    except ValueError:
        raise AccountError("host: is not a host name or URL; write it like xxxxx.api.infobip.com") from None
    _refuse_odd_url(parts)
    assert parts.hostname is not None
    if scheme and scheme != parts.scheme:
        raise AccountError(f"host: begins with {parts.scheme}://, but the schema is {scheme}; keep one of them")
    if base_path and parts.path.strip("/"):
        raise AccountError("host: has a path, and so has the schema (or the connection URI); keep one of them")
    if port and own_port and port != own_port:
        raise AccountError(f"host: names port {own_port}, but the connection's port is {port}; keep one of them")
    chosen = own_port or port or None
    if chosen is not None and not 0 < chosen < 65536:
        raise AccountError(f"port: {chosen} is not between 1 and 65535")
    if parts.scheme == "http" and not _flag("allow_http", allow_http) and not _is_loopback(parts.hostname):
        raise AccountError(
            "host: plain http would show credentials and numbers to the network; use https, or set allow_http in the"
            " connection's extra if you know the way to the host is safe"
        )
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{name}{f':{chosen}' if chosen else ''}{base_path or parts.path.rstrip('/')}"


def _scheme_and_path(schema: str | None) -> tuple[str | None, str]:
    """Return the schema of a connection as a scheme, or else as the path that its URI had."""
    text = (schema or "").strip().strip("/")
    if text.lower() in {"http", "https"}:
        return text.lower(), ""
    parts = text.split("/") if text else []
    if not text.isprintable() or "\\" in text or any(part.strip() in {"", ".", ".."} for part in parts):
        raise AccountError(
            "schema: must be http, https or the path that requests begin with, such as gateway/omni, without dots or"
            " unprintable characters as a part"
        )
    return None, "".join(f"/{quote(part, safe='')}" for part in parts)


def _refuse_odd_url(parts: SplitResult) -> None:
    if parts.scheme not in {"http", "https"}:
        raise AccountError(f"host: scheme {parts.scheme!r} is not allowed; use https")
    if parts.username is not None or parts.password is not None:
        raise AccountError("host: has credentials in it; put them into login and password, where they are masked")
    if parts.query or parts.fragment:
        raise AccountError("host: has a query or fragment; only scheme, host, port and a path are allowed")
    name = parts.hostname or ""
    if not name or not name.isprintable() or any(c.isspace() or c in "\\<>\"'{}|^`%" for c in name):
        raise AccountError("host: is not a host name or URL; write it like xxxxx.api.infobip.com")
    if any(part in {".", ".."} for part in parts.path.split("/")) or not parts.path.isprintable():
        raise AccountError("host: its path has dots or unprintable characters as a part")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _credentials(auth_type: object, login: str | None, password: str | None) -> Credentials:
    kind = "basic" if auth_type is None or auth_type == "" else auth_type
    if kind not in AUTH_TYPES:
        raise AccountError(f"auth_type: must be one of {', '.join(AUTH_TYPES)}")
    names = {"basic": "the password", "api_key": "the API key", "oauth2": "the client secret"}
    if not password:
        raise AccountError(f"password: is empty; with auth_type {kind} it holds {names[str(kind)]}")
    _refuse_damage(password=password, login=login or "")
    if kind == "api_key":
        key = password.removeprefix("App ")
        if not key.isascii() or not key.isprintable() or key != key.strip():
            raise AccountError(
                "password: an API key has no spaces around it, line breaks or special characters; copy it again"
            )
        return Credentials.api_key(key)
    if not login:
        raise AccountError(
            f"login: is empty; with auth_type {kind} it holds {'the user name' if kind == 'basic' else 'the client id'}"
        )
    if kind == "oauth2":
        return Credentials.oauth2(login, password)
    if ":" in login:
        raise AccountError("login: a user name for basic authentication cannot have a colon in it")
    return Credentials.basic(login, password)


def _refuse_damage(**fields: str) -> None:
    for name, value in fields.items():
        if any(character in value for character in (*_LINE_ENDS, "\0")):
            raise AccountError(f"{name}: has a line break or a NUL character inside; copy it again")
        if any("\ud800" <= character <= "\udfff" for character in value):
            # Caught here, because the error of encoding it would show the whole value.
            raise AccountError(f"{name}: has half a character in it (a lone surrogate); fix the source's encoding")


def _seconds(name: str, value: object, default: float, most: int = 48 * 3600) -> float:
    if value is None or value == "":
        return default
    try:
        seconds = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else 0.0
    except (ValueError, OverflowError):
        seconds = 0.0
    if not 0 < seconds <= most:
        raise AccountError(f"{name}: must be a number of seconds above 0, at most {most}")
    return seconds


def _flag(name: str, value: object) -> bool:
    text = "" if value is None else str(value).strip().lower()
    if text not in _FLAGS:
        raise AccountError(f"{name}: must be true or false")
    return _FLAGS[text]
