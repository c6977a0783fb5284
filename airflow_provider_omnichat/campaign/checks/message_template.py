"""A message with fields of the row in it, such as ``Hello {first_name}``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow_provider_omnichat.api.errors import InvalidInviteError
from airflow_provider_omnichat.api.privacy import scrub
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.campaign.model.field_values import plain_text_of, value_in

_BRACE = re.compile(r"\{\{|\}\}|\{[^{}]*\}|\{|\}")
_FIELD = re.compile(r"[^\W\d]\w*(?:[ -]+\w+)*")
_LONGEST_SHOWN = 40


class MessageTemplate:
    """
    A message that takes plain fields of the row, read once and rendered for each row.

    Unlike :meth:`str.format` it looks nothing up but the row's own fields: no attributes, items, conversions or format
    specifications, so that neither a template nor a row can reach anything else.

    :param text: the message. ``{first_name}`` stands for the row's field of that name: letters, digits, underscores,
        with single words joined by spaces or dashes, not beginning with a digit. ``{{`` and ``}}`` stand for braces.
    :raises ValueError: when *text* has anything else in braces; says what and where.
    """

    __slots__ = ("_format", "_names", "text")

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise ValueError(f"a message must be a text, is a {type(text).__name__}")
        self.text = text
        pieces: list[str] = []
        names: list[str] = []
        end = 0
        for brace in _BRACE.finditer(text):
            pieces.append(_literal(text[end : brace.start()]))
            end = brace.end()
            found = brace.group()
            if found in ("{{", "}}"):
                pieces.append(found[0])
            else:
                names.append(_field_name(found, brace.start()))
                pieces.append("%s")
        pieces.append(_literal(text[end:]))
        self._format = "".join(pieces)
        self._names = tuple(names)

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields that it takes, each once, in their order."""
        return tuple(dict.fromkeys(self._names))

    def render(self, fields: Mapping[str, Any]) -> str:
        """
        Put the fields of a row in. Braces in a value are plain text.

        :param fields: of the row.
        :raises InvalidInviteError: when a field is missing, blank, or nothing that can stand in a text; the error names
            the field and not its value.
        """
        values = []
        for name in self._names:
            value = value_in(fields, name)
            values.append(value if type(value) is str else _text_of(value, name, fields))
        return self._format % tuple(values)

    def __repr__(self) -> str:
        return f"MessageTemplate(<text of {len(self.text)} characters>, fields={self.fields!r})"


def _literal(text: str) -> str:
    return text.replace("%", "%%")


def _field_name(found: str, start: int) -> str:
    where = f"message template, character {start + 1}"
    if found == "{":
        raise ValueError(f"{where}: a {{ that is not closed; write {{{{ for a plain brace")
    if found == "}":
        raise ValueError(f"{where}: a }} without a {{ before it; write }}}} for a plain brace")
    name = found[1:-1]
    shown = scrub(found if len(found) <= _LONGEST_SHOWN else found[: _LONGEST_SHOWN - 1] + "…")
    if not name.strip():
        raise ValueError(f"{where}: {shown} names no field; write the column's name in it, or {{{{ }}}} for braces")
    if not _FIELD.fullmatch(name):
        raise ValueError(
            f"{where}: {shown!r} is not the plain name of a column; attributes, items, positions, conversions and"
            " formats are not taken; write {first_name}, or {{ and }} for braces"
        )
    return name


def _text_of(value: object, name: str, fields: Mapping[str, Any]) -> str:
    try:
        text = plain_text_of(value)
    except (ValueError, ArithmeticError):
        text = None
    if text is not None:
        return text
    if value is not None:
        problem = f"is a {type(value).__name__} that cannot stand in a text"
    else:
        problem = "is empty in this row" if name in fields else "is not in this row"
    raise InvalidInviteError(
        Reason(ReasonCode.NO_FIELD_FOR_TEXT, f"needs the field {scrub(name)!r}, which {problem}", field="message")
    )
