"""Templated arguments that were given in the DAG file and are gone, or something else, when the task runs."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from pathlib import PurePath
from typing import Any, ClassVar, Self

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_omnichat.api.body import valid_text
from airflow_provider_omnichat.campaign.model.field_values import HALF_A_CHARACTER
from airflow_provider_omnichat.tasks.templates import provided_fields

# Not templated; what a mapped task is expanded to is given all the same.
_COLUMNS = frozenset({"to_column", "region_column", "key_column", "time_zone_column", "message_column"})
_OF_A_FUNCTION = frozenset({"op_args", "op_kwargs"})  # which may take None
_NOTHING_SAID = frozenset({"none", "null", "nan", "nat", "<na>", "undefined", "nil"})
"""Words that a template writes for an object that is not there, in small letters. ``NA`` is not one: it is Namibia."""


class RequiredArgumentsMixin:
    """
    Keeps a task from going on without an argument that somebody has given.

    What a template or another task gives may be nothing: then the opt-out list, the approval, the ledger or the place
    of the results that somebody asked for would not be there, under a green task. Written down as None or as an empty
    text, an argument is not given. The word ``None`` is nobody's campaign, table or country, wherever it comes from.

    In a mapped task, whatever it is expanded to is given: a None there is refused as one from another task is. (That it
    is None on purpose can be said by leaving it out of *expand_kwargs*.)
    """

    may_become_empty: ClassVar[frozenset[str]] = frozenset()
    """Templated arguments that may render to None or a blank text, which says something there."""

    not_texts: ClassVar[frozenset[str]] = frozenset()

    _given: Mapping[str, bool] | None = None
    """The arguments that were given, and whether a mapped task is expanded to them."""
    _gone: frozenset[str] = frozenset()
    _put_in: Mapping[str, list[str]] | None = None

    def __new__(cls, *_: object, **arguments: Any) -> Self:
        """
        Note what a mapped task is expanded to, when it is made anew to be run.

        In ``__init__``, such an argument that is None cannot be told any more from one that is not there.
        """
        made = super().__new__(cls)
        in_dag = getattr(arguments.get("dag"), "task_dict", {}).get(arguments.get("task_id"))
        partial = getattr(in_dag, "partial_kwargs", None)
        if partial is not None:
            made.__dict__["_expanded"] = arguments.keys() - partial.keys()
        return made

    def _do_render_template_fields(self, parent: Any, *args: Any, **kwargs: Any) -> None:
        sources = {}
        if parent is self and self._given is None:
            expanded = self.__dict__.pop("_expanded", frozenset())
            self._given = {
                name: name in expanded
                for name in (*self._templated, *(_COLUMNS & expanded))
                if name in expanded or not _is_blank(getattr(self, name))
            }
            sources = {name: getattr(self, name) for name in self._given.keys() - _OF_A_FUNCTION}
        super()._do_render_template_fields(parent, *args, **kwargs)  # type: ignore[misc]
        if sources:
            self._gone = frozenset(name for name, source in sources.items() if _is_gone(source, self._value(name)))

    def refuse_missing_arguments(self) -> None:
        """End the task when an argument is gone or no text, and make texts of whole numbers."""
        for name, is_expanded in (self._given or {}).items():
            value = self._value(name)
            now = "" if name in self.may_become_empty and _is_blank(value) else _nothing_in(value)
            if put_in := (self._put_in or {}).get(name):
                now = now or f"a text with {put_in[0]} in it"  # two campaigns {{ x }}-2026 would be one
            if now := now or ("something with None in it" if name in self._gone else ""):
                advice = "; leave it out of expand_kwargs where there is none" if is_expanded else ""
                raise AirflowFailException(
                    f"Nothing was sent. {name}: was given and is {now} now; see what the task or template that it comes"
                    f" from has given{advice}"
                )
        for name in self._templated:
            if name not in self.not_texts:
                self._set(name, self._text(name))

    def refuse_what_is_no_text(self) -> None:
        """Refuse what can be seen to be no text when the DAG file is parsed; at the end of ``__init__``."""
        for name in self._templated:
            value = getattr(self, name, None)
            if name not in self.not_texts and isinstance(value, bool | float):
                raise ValueError(f"{name} must be a text, not {value!r}")

    @property
    def _templated(self) -> tuple[str, ...]:
        return provided_fields(self)

    def _text(self, name: str) -> str | None:
        value = self._value(name)
        if _is_blank(value):
            return None if value is None else ""
        if isinstance(value, str):
            if valid_text(value) != value:  # made valid, two names might be one
                raise AirflowFailException(f"Nothing was sent. {name}: {HALF_A_CHARACTER}")
            return value
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        if isinstance(value, bool) or not isinstance(value, Integral | PurePath | ObjectStoragePath):
            raise AirflowFailException(f"Nothing was sent. {name}: must be a text, is a {type(value).__name__}")
        return str(value)

    def _value(self, name: str) -> Any:
        operator: Any = self
        return operator.private(name) if name in getattr(self, "private_fields", ()) else getattr(self, name)

    def _set(self, name: str, value: Any) -> None:
        operator: Any = self
        if name in getattr(self, "private_fields", ()):
            operator.set_private(name, value)
        else:
            setattr(self, name, value)


def _is_gone(source: object, value: object) -> bool:
    """Tell whether a part of an argument was given and is None now, as a value of a query."""
    if value is source:
        return False
    if isinstance(source, dict) and isinstance(value, dict):
        return any(_is_gone(each, value.get(key)) for key, each in source.items())
    if isinstance(source, list | tuple) and isinstance(value, list | tuple):
        return any(map(_is_gone, source, value))
    return value is None


def _is_blank(value: object) -> bool:
    """Tell whether a value is None, a blank text, or what Jinja has for a name that it does not know."""
    from jinja2 import Undefined

    return value is None or isinstance(value, Undefined) or (isinstance(value, str) and not value.strip())


def _nothing_in(value: object) -> str:
    """Say what a value is if it says nothing, or a part of it does; an empty list is a list."""
    if value is None:
        return "None"
    if _is_blank(value):
        return "empty"
    if isinstance(value, str):
        return f"the word {value.strip()!r}" if value.strip().lower() in _NOTHING_SAID else ""
    if isinstance(value, float) and value != value:
        return "NaN"
    if isinstance(value, dict) and {"conn_id", "sql"} <= set(value):  # a query for a list
        return next((f"{now} in {name!r}" for name in ("conn_id", "sql") if (now := _nothing_in(value[name]))), "")
    return ""
