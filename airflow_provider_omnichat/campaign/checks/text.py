"""The text of an invite: what it must be, and how fields of the row such as ``{first_name}`` get into it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from airflow_provider_omnichat.api.body import valid_text
from airflow_provider_omnichat.api.errors import InvalidInviteError
from airflow_provider_omnichat.api.privacy import scrub
from airflow_provider_omnichat.api.reasons import ReasonCode
from airflow_provider_omnichat.campaign.model.field_values import HALF_A_CHARACTER, is_blank, plain_text_of, value_in
from airflow_provider_omnichat.campaign.model.segments import MOST_BYTES, MOST_SEGMENTS, refused_length
from airflow_provider_omnichat.campaign.model.sentences import cut

_BRACE = re.compile(r"\{\{|\}\}|\{[^{}]*\}|\{|\}")
_FIELD = re.compile(r"[^\W\d]\w*(?:[ -]+\w+)*")
_LONGEST_SHOWN = 40


class MessageTemplate:
    """
    A message with fields of the row, parsed once and rendered for each row.

    Unlike :meth:`str.format`, it only looks up the row's own fields: no attributes, items, conversions or format
    specifications, so that neither a template nor a row can reach anything else.

    :param text: ``{first_name}`` is replaced by the row's field of that name: letters, digits, underscores, words
        joined by single spaces or dashes, not beginning with a digit. ``{{`` and ``}}`` are braces.
    :raises ValueError: *text* has anything else in braces; says what and where.
    """

    __slots__ = ("_format", "_names", "text")
    argument = "message"

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise ValueError(f"a {self.argument} must be a text, is a {type(text).__name__}")
        self.text = text
        pieces: list[str] = []
        names: list[str] = []
        end = 0
        for brace in _BRACE.finditer(text):
            pieces.append(_escape_percent(text[end : brace.start()]))
            end = brace.end()
            found = brace.group()
            if found in ("{{", "}}"):
                pieces.append(found[0])
            else:
                names.append(_field_name(found, f"{self.argument} template, character {brace.start() + 1}"))
                pieces.append("%s")
        pieces.append(_escape_percent(text[end:]))
        self._format = "".join(pieces)
        self._names = tuple(names)

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields in it, each once, in their order."""
        return tuple(dict.fromkeys(self._names))

    def render(self, fields: Mapping[str, Any]) -> str:
        """Put a row's fields in; an InvalidInviteError names a missing or unusable field, and not its value."""
        return self._format % tuple(self._values(fields))

    def _values(self, fields: Mapping[str, Any]) -> list[str]:
        values = []
        for name in self._names:
            value = value_in(fields, name)
            values.append(value if type(value) is str else self._text_of(value, name, fields))
        return values

    def _text_of(self, value: object, name: str, fields: Mapping[str, Any]) -> str:
        try:
            text = plain_text_of(value)
        except (ValueError, ArithmeticError):
            text = None
        if text is not None:
            return text
        if value is not None:
            problem = f"is a {type(value).__name__} that cannot be put in a text"
        else:
            problem = "is empty in this row" if name in fields else "is not in this row"
        needs = f"needs the field {scrub(name)!r}, which {problem}"
        raise InvalidInviteError.of(self.argument, ReasonCode.NO_FIELD_FOR_TEXT, needs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(<text of {len(self.text)} characters>, fields={self.fields!r})"


class LinkTemplate(MessageTemplate):
    """The user's own link: an absolute URL, in which values are URL-encoded. Another raises InvalidInviteError."""

    __slots__ = ()
    argument = "link"

    def __init__(self, link: str) -> None:
        try:
            super().__init__(link.strip())
        except ValueError as error:
            raise InvalidInviteError.of("link", ReasonCode.NOT_A_LINK, str(error)) from None
        self.render(dict.fromkeys(self.fields, "1"))  # may be a port

    def render(self, fields: Mapping[str, Any]) -> str:
        """See :meth:`MessageTemplate.render`."""
        link = super().render(fields)
        try:
            parts = urlsplit(link)
            host = (parts.hostname or "").strip(".")
            # An encoded value would not be the host that was meant, and browsers end the host at a backslash.
            is_whole = bool(host) and "%" not in host and "\\" not in parts.netloc
            is_link = parts.scheme in {"http", "https"} and is_whole and parts.port != 0
        except ValueError:
            is_link = False
        if not is_link or not link.isprintable() or " " in link or valid_text(link) != link:
            problem = "must be an absolute URL such as https://t.me/acme_bot?start={customer_id}, without spaces"
            raise InvalidInviteError.of("link", ReasonCode.NOT_A_LINK, problem)
        return link

    def _values(self, fields: Mapping[str, Any]) -> list[str]:
        values = super()._values(fields)
        if any(valid_text(value) != value for value in values):
            raise InvalidInviteError.of("link", ReasonCode.NOT_A_TEXT, HALF_A_CHARACTER)
        return [quote(value, safe="") for value in values]


def message_template(message: str, link_placeholder: str) -> MessageTemplate:
    """Parse the text of a list; raise ValueError for one that is wrong for each of its rows."""
    template = MessageTemplate(message)
    # One with fields is checked row by row: a field may contain the placeholder.
    if not template.fields:
        check_text(template.render({}), link_placeholder)
    return template


def check_text(message: object, link_placeholder: object) -> tuple[str, str]:
    """Return a message and its placeholder, stripped of spaces at both ends; raise InvalidInviteError."""
    text = _stripped("message", message)
    placeholder = _stripped("link_placeholder", link_placeholder)
    if placeholder not in text:
        problem = "does not contain the link placeholder, so that the SMS would have no link"
        raise InvalidInviteError.of("message", ReasonCode.NO_LINK_PLACEHOLDER, problem, _shown(placeholder))
    # Only if the vendor would refuse it with any link; one that fits without the link is accepted.
    refuse_too_long(text, placeholder)
    return text, placeholder


def refuse_too_long(text: str, placeholder: str = "") -> None:
    """Raise InvalidInviteError if a text is too long, whatever replaces the placeholder."""
    if too_long := refused_length(text, placeholder):
        problem = f"is too long, the vendor takes at most {MOST_SEGMENTS} SMS and {MOST_BYTES:,} bytes"
        raise InvalidInviteError.of("message", ReasonCode.MESSAGE_TOO_LONG, problem, too_long)


def _stripped(field: str, value: object) -> str:
    text = value.strip() if isinstance(value, str) else None
    if not text:
        if text is not None or is_blank(value):
            raise InvalidInviteError.of(field, ReasonCode.NO_TEXT, "is missing" if text is None else "is empty")
        raise InvalidInviteError.of(field, ReasonCode.NOT_A_TEXT, f"must be a text, is a {type(value).__name__}")
    if valid_text(text) != text:
        raise InvalidInviteError.of(field, ReasonCode.NOT_A_TEXT, HALF_A_CHARACTER)
    if "\x00" in text:
        problem = "has a NUL character in it; fix the source's encoding"
        raise InvalidInviteError.of(field, ReasonCode.NOT_A_TEXT, problem)
    return text


def _shown(placeholder: str) -> str:
    return repr(placeholder) if len(placeholder) <= 30 else f"({len(placeholder)} characters)"


def _escape_percent(text: str) -> str:
    return text.replace("%", "%%")


def _field_name(found: str, where: str) -> str:
    if found == "{":
        raise ValueError(f"{where}: a {{ that is not closed; write {{{{ for a plain brace")
    if found == "}":
        raise ValueError(f"{where}: a }} without a {{ before it; write }}}} for a plain brace")
    name = found[1:-1]
    shown = scrub(cut(found, _LONGEST_SHOWN))
    if not name.strip():
        raise ValueError(f"{where}: {shown} names no field; write the column's name in it, or {{{{ }}}} for braces")
    if not _FIELD.fullmatch(name):
        raise ValueError(
            f"{where}: {shown!r} is not the plain name of a column; attributes, items, positions, conversions and"
            " formats are not taken; write {first_name}, or {{ and }} for braces"
        )
    return name
