"""Numbers and texts as they may be shown: in logs, errors, pages, rendered templates."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping

_MASK = "****"
_LONGEST_TEXT = 300
_LONGEST_READ = 4000
_SHORTEST_PIECE = 12
_SHORTEST_SECRET = 4
# Seven digits or more, also when written with separators: short codes and status ids stay readable, phone numbers do
# not.
_LONG_NUMBER = re.compile(r"\+?\d(?:[\s().\-/]{0,3}\d){6,}")
_DIGIT = re.compile(r"\d")
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?: \d\d)?")
# A moment, as in run ids and the names of files, looks like a number and is not masked.
_MOMENT_OR_NUMBER = re.compile(
    r"(?P<moment>(?<!\d)(?:19|20)\d\d-[01]\d-[0-3]\d"
    r"(?:[T _][0-2]\d[:_][0-5]\d(?:[:_][0-5]\d(?:\.\d{1,6})?)?(?:[+-]\d\d[:_]?\d\d)?)?(?![\s().\-]{0,3}\d))|"
    + _LONG_NUMBER.pattern
)
_SCHEME = r"[A-Za-z][A-Za-z0-9+.\-:]{0,40}://"
_PARTS = re.compile(
    rf"(?P<scheme>{_SCHEME})(?:(?P<user>[^/?#]*)@)?(?P<host>[^/?#@]*)(?P<path>[^?#]*)(?P<query>.*)", re.DOTALL
)
_HOST = re.compile(r"(?:\[[^\]]*\]|[^:]*)(?::\d+)?")
_ADDRESS_IN_TEXT = re.compile(rf"{_SCHEME}[^\s'\"<>|]+")
# Errors of libraries contain the path and query of an address, without its scheme.
_QUERY_IN_TEXT = re.compile(r"\?[^\s'\"<>|?=]{0,100}=[^\s'\"<>|]*")
_LIST_FILE = re.compile(r"\.(?:csv|tsv|jsonl|ndjson|json)(?:\.gz)?$", re.IGNORECASE)


def mask_number(number: object) -> str:
    """Return a phone number as ``41793****27``: enough to recognise, too little to call. Takes any value."""
    text = _one_line(str(number))
    if len(text) >= 10:
        return f"{text[:5]}{_MASK}{text[-2:]}"
    if len(text) >= 6:
        return f"{text[:2]}{_MASK}{text[-1:]}"
    return _MASK if text else ""


def describe_text(text: object) -> str:
    """Describe a message by its length, or a value that is not a text by its type."""
    if not isinstance(text, str):
        return f"<{type(text).__name__}>"
    return f"<text of {len(text)} characters>"


def describe_list(rows: object, of: str = "rows") -> str:
    """Describe a list by its length, and the address of one by what may be shown of it. Takes any value."""
    if isinstance(rows, str):
        return shown_address(rows) if is_address(rows) else describe_text(rows)
    if is_path(rows):
        return shown_address(rows)
    kind = type(rows).__name__
    # Other things with a length may have to ask a server for it, and it may be that of something else.
    if not isinstance(rows, list | tuple | set | frozenset | Mapping):
        return f"<{kind}>"
    if isinstance(rows, list | tuple) and of == "rows":
        # Mapped tasks give a list each.
        return f"<{kind} of {sum(len(row) if isinstance(row, list | tuple) else 1 for row in rows)} rows>"
    return f"<{kind} of {len(rows)} {'fields' if isinstance(rows, Mapping) and of == 'rows' else of}>"


def is_path(value: object) -> bool:
    """Return whether a value is a path, local or on object storage (``ObjectStoragePath`` is not ``os.PathLike``)."""
    return isinstance(value, os.PathLike) or all(callable(getattr(value, name, None)) for name in ("open", "iterdir"))


def is_address(text: str) -> bool:
    """Return whether a text is the address of a file, and not, for example, a list that a template has rendered."""
    text = text.strip()
    if not text or len(text.splitlines()) > 1 or text[0] in "[{(<\"'":
        return False
    is_rooted = _PARTS.fullmatch(text) or text.startswith(("/", "./", "../", "~"))
    return bool(_LIST_FILE.search(text) or (is_rooted and not re.search(r"\s", text)))


def shown_address(address: object) -> str:
    """Return an address (a text or a path) without query, user and password, and with long numbers masked."""
    text = "/".join(
        _MOMENT_OR_NUMBER.sub(lambda found: found.group() if found["moment"] else mask_number(found.group()), part)
        for part in plain_address(address).split("/")
    )
    return _cut(text)


def plain_address(address: object) -> str:
    """Return an address without query, user and password; only its scheme if it is unclear where these end."""
    # Without what is before an "@", even if it is the name of an Airflow connection: in another address it is a token.
    text = _one_line(str(address))
    parts = _PARTS.fullmatch(text)
    if not parts:
        return text
    # A password with a slash or question mark in it reaches into what looks like the path or the query.
    authority = (parts["user"] or "") + parts["host"]
    is_odd = not _HOST.fullmatch(parts["host"]) or (":" in authority and "@" in parts["path"] + parts["query"])
    return parts["scheme"] + ("…" if is_odd else parts["host"] + parts["path"])


def file_name(address: str) -> str:
    """Return the name of the file at an address; of what may be a query, only its ending."""
    # A "#" or "?" may also be part of the name of a folder.
    plain, whole = (text.rstrip("/").rpartition("/")[2] for text in (plain_address(address), _one_line(address)))
    ending = _LIST_FILE.search(whole)
    if _LIST_FILE.search(plain) or not ending:
        return plain
    return f"…{ending.group()}" if "=" in whole else whole


def secrets_in(address: object) -> tuple[str, ...]:
    """Return the pieces of an address that must not be shown anywhere."""
    parts = _PARTS.fullmatch(_one_line(str(address)))
    if not parts:
        return ()
    user, query = parts["user"] or "", parts["query"].lstrip("?#")
    values = re.split(r"(?:^|[&;])[^&;=]*=", query)
    pieces = (user, *user.split(":", 1), query, *values)
    # Shorter ones would be found in words that have nothing to do with them.
    return tuple(piece for piece in pieces if len(piece) >= _SHORTEST_SECRET)


def has_password(address: str) -> bool:
    """Return whether an address contains a user and a password, or what can only be that."""
    parts = _PARTS.fullmatch(address.strip())
    return bool(parts and (":" in (parts["user"] or "") or not _HOST.fullmatch(parts["host"])))


def mask_numbers(text: object) -> str:
    """Return a text, such as a query, with its long numbers masked and dates as they are."""

    def masked(match: re.Match[str]) -> str:
        return match.group() if _DATE.fullmatch(match.group()) else mask_number(match.group())

    return _LONG_NUMBER.sub(masked, text) if isinstance(text, str) else describe_text(text)


def scrub(text: str, hidden: Iterable[str] = ()) -> str:
    """
    Make what the vendor, a proxy or a library said safe to show: one short line, with long numbers masked.

    :param hidden: strings that must not appear: the message, the number, credentials.
    """
    text = _beginning(text)
    for secret in sorted(filter(None, hidden), key=len, reverse=True):
        text = _without_pieces(text.replace(secret, "***"), secret)
    text = _ADDRESS_IN_TEXT.sub(lambda found: plain_address(found.group()), _one_line(text))
    return _cut(_LONG_NUMBER.sub(lambda match: mask_number(match.group()), _QUERY_IN_TEXT.sub("", text)))


def printable(text: str, hidden: Collection[str] = ()) -> str:
    """Make an id, which :func:`scrub` would take for a number, fit for a log: one short line without what is hidden."""
    return _cut(_one_line(without(_beginning(text), list(filter(None, hidden)))))


def without(text: str, hidden: Collection[str]) -> str:
    """Replace strings, none of them empty, in a text; numbers also if they are written with separators."""
    for secret in hidden:
        if secret in text:
            text = text.replace(secret, "***")
    if _DIGIT.search(text):
        digits = "".join(filter(str.isdigit, text))
        for secret in hidden:
            if secret in digits:
                text = re.sub(r"[\s().\-/]{0,3}".join(secret), "***", text)
    return text


def _beginning(text: str) -> str:
    # Cut between two words: half an address may hold a password that is no longer recognised.
    return text if len(text) <= _LONGEST_READ else " ".join([*text[:_LONGEST_READ].rsplit(None, 1)[:-1], "…"])


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"


def _without_pieces(text: str, secret: str) -> str:
    """Replace pieces of *secret* in *text*: it may be cut short, in other capitals or partly escaped."""
    low, size = text.lower(), _SHORTEST_PIECE
    if len(low) != len(text):  # a few characters have no lower case of the same length
        low = text
    pieces = {secret.lower()[i : i + size] for i in range(len(secret) - size + 1)}
    kept, at = [], 0
    while at < len(text):
        end = at
        while low[end : end + size] in pieces:
            end += 1
        kept.append("***" if end > at else text[at])
        at = end + size - 1 if end > at else at + 1
    return "".join(kept)


def _one_line(text: str) -> str:
    shown = text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)
    return " ".join(shown.split())
