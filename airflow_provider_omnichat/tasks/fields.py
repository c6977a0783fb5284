"""The one table of an operator's templated arguments: how each is rendered, checked and shown."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from numbers import Integral
from pathlib import PurePath
from typing import Any, ClassVar, Self
from weakref import WeakKeyDictionary

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_omnichat.api.body import valid_text
from airflow_provider_omnichat.api.privacy import mask_numbers
from airflow_provider_omnichat.campaign.model.field_values import HALF_A_CHARACTER
from airflow_provider_omnichat.tasks.templates import NotesNone, noting

# Words that a template writes for a missing object, in small letters. NA is not one: it is Namibia.
_WORDS_FOR_NOTHING = frozenset({"none", "null", "nan", "nat", "<na>", "undefined", "nil"})


class Kind(Enum):
    """What an argument holds, after rendering."""

    NAME = "name"  # a text for machines: the word None anywhere in it is a mistake
    TEXT = "text"  # a text for people, or a query, which may have that word in it
    VALUE = "value"  # anything: a list, a query with its connection, a number
    CALL = "call"  # arguments of a user's function, which may take None


@dataclass(frozen=True, slots=True)
class Field:
    """One argument. One that Airflow does not template is here if it is private, or must not be expanded to None."""

    name: str
    kind: Kind = Kind.NAME
    templated: bool = True
    shown: Callable[[Any], Any] | None = None  # makes what Airflow may show of it; None for a public argument
    # Marks in the template as written in the DAG file; with one of them, it is shown, with nothing filled in.
    shown_marks: tuple[str, ...] = ()
    may_be_empty: bool = False  # after rendering


def table(*fields: Field | str) -> dict[str, Field]:
    """Return fields by name; a bare name is a public, templated :attr:`Kind.NAME`."""
    return {each.name: each for each in (Field(one) if isinstance(one, str) else one for one in fields)}


def templated(fields: Mapping[str, Field]) -> tuple[str, ...]:
    """Return the names for Airflow's ``template_fields``."""
    return tuple(name for name, field in fields.items() if field.templated)


class _Key:
    """Marks an operator, and copies of it, whose values are in :data:`_VALUES`."""

    def __deepcopy__(self, _: object) -> Self:
        return self


# Outside of the operators: lineage and error trackers read every attribute of an operator.
_VALUES: WeakKeyDictionary[_Key, dict[str, Any]] = WeakKeyDictionary()


class FieldsMixin(NotesNone):
    """
    Renders, checks and shows the arguments of :attr:`argument_fields`; a subclass's other fields are left to Airflow.

    **Shown.** Airflow stores the attributes named in ``template_fields`` after rendering, for its pages and API. Those
    of private fields then hold what may be shown; the task reads their values with :meth:`private`.

    **Required.** A template or another task may give nothing: then the opt-out list, the approval, the ledger or the
    place of the results that the user asked for would be missing under a green task. So an argument that was given must
    not be gone when the task runs. Written as None, it was not given. In a mapped task, whatever it is expanded to was
    given.
    """

    argument_fields: ClassVar[Mapping[str, Field]] = {}
    template_fields: Any

    _given: Mapping[str, bool] | None = None
    """The arguments that were given, and whether a mapped task is expanded to them."""
    _with_lost_values: frozenset[str] = frozenset()
    _put_in: Mapping[str, list[str]] | None = None
    _private_key: _Key | None = None

    def __new__(cls, *_: object, **arguments: Any) -> Self:
        """Note what a mapped task is expanded to: in ``__init__``, its None looks like a missing argument."""
        made = super().__new__(cls)
        in_dag = getattr(arguments.get("dag"), "task_dict", {}).get(arguments.get("task_id"))
        partial = getattr(in_dag, "partial_kwargs", None)
        if partial is not None:
            made.__dict__["_expanded"] = arguments.keys() - partial.keys()
        return made

    # Airflow renders plain and mapped tasks through this method; it calls render_template_fields for plain ones only.
    def _do_render_template_fields(
        self, parent: Any, template_fields: Any, context: Any, jinja_env: Any, seen_oids: Any = (), **kwargs: Any
    ) -> None:
        render = super()._do_render_template_fields  # type: ignore[misc]
        if parent is not self:
            render(parent, template_fields, context, jinja_env, seen_oids, **kwargs)
            return
        sources = self._note_given()
        self._make_texts_of_paths(seen_oids)
        templates = self._templates_to_show(seen_oids)
        ours = self._rendered
        render(self, [each for each in template_fields if each not in ours], context, jinja_env, seen_oids, **kwargs)
        put_in = self._put_in = self._put_in or {name: [] for name in ours}
        for name in ours:
            environment = noting(jinja_env, put_in[name], is_name=self.argument_fields[name].kind is Kind.NAME)
            render(self, [name], context, environment, seen_oids, **kwargs)
        if sources:
            self._with_lost_values = frozenset(
                name for name, source in sources.items() if _has_lost_a_value(source, getattr(self, name))
            )
        if self._private_key is None:
            self._hide(templates)

    @property
    def _rendered(self) -> list[str]:
        """The templated fields of the provider, but for any that a subclass does not template."""
        return [
            name for name, field in self.argument_fields.items() if field.templated and name in self.template_fields
        ]

    def _note_given(self) -> dict[str, Any]:
        """Note which arguments were given; return what they are before rendering, the first time."""
        if self._given is not None:
            return {}
        expanded = self.__dict__.pop("_expanded", frozenset())
        rendered = self._rendered
        self._given = {
            name: name in expanded
            for name in self.argument_fields
            if name in expanded or (name in rendered and getattr(self, name) is not None)
        }
        return {name: getattr(self, name) for name in self._given if self.argument_fields[name].kind is not Kind.CALL}

    def _make_texts_of_paths(self, rendered: Collection[int]) -> None:
        # A path can be a template as the same text would be; what another task gave is data, and is rendered. Airflow
        # does not look into a path, and before 3.3 calls its resolve(), which fails if there is no file yet.
        for name in self._rendered:
            value = getattr(self, name, None)
            if isinstance(value, PurePath) and id(value) not in rendered:
                setattr(self, name, str(value))

    def _templates_to_show(self, rendered: Collection[int]) -> dict[str, str]:
        shown = {}
        for name, field in self.argument_fields.items():
            source = getattr(self, name) if field.shown_marks else None
            if isinstance(source, str) and id(source) not in rendered and any(m in source for m in field.shown_marks):
                shown[name] = mask_numbers(source)
        return shown

    def _hide(self, templates: Mapping[str, str]) -> None:
        """Keep the values of private fields apart, and leave what may be shown in their attributes."""
        private = {name: field.shown for name, field in self.argument_fields.items() if field.shown is not None}
        self._private_key = _Key()
        values = _VALUES[self._private_key] = {name: getattr(self, name) for name in private}
        shown = {
            name: templates.get(name) or (None if values[name] is None else show(values[name]))
            for name, show in private.items()
        }
        for name, value in shown.items():
            setattr(self, name, value)
        arguments = self.__dict__.get("_BaseOperator__init_kwargs")  # which Airflow keeps as they were given
        if arguments is not None:
            self.__dict__["_BaseOperator__init_kwargs"] = {**arguments, **shown}

    def private(self, name: str) -> Any:
        """Return the true value of a field, whatever its attribute shows."""
        values = {} if self._private_key is None else _VALUES[self._private_key]
        return values[name] if name in values else getattr(self, name)

    def set_private(self, name: str, value: Any) -> None:
        """Set the true value of a field while the task runs; what a private one shows stays as it is."""
        values = {} if self._private_key is None else _VALUES[self._private_key]
        if name in values:
            values[name] = value
        else:
            setattr(self, name, value)

    def refuse_missing_arguments(self) -> None:
        """End the task if an argument is gone or not a text, and make texts of whole numbers."""
        for name, is_expanded in (self._given or {}).items():
            value = self.private(name)
            now = "" if self.argument_fields[name].may_be_empty and _is_blank(value) else _why_missing(value)
            if put_in := (self._put_in or {}).get(name):
                now = now or f"a text with {put_in[0]} in it"  # two campaigns {{ x }}-2026 would be one
            if now := now or ("something with None in it" if name in self._with_lost_values else ""):
                advice = "; leave it out of expand_kwargs if there is none" if is_expanded else ""
                raise AirflowFailException(
                    f"Nothing was sent. {name}: was given and is {now} now; see what the task or template that it comes"
                    f" from has given{advice}"
                )
        for name in self._texts():
            self.set_private(name, _text(name, self.private(name)))

    def refuse_non_texts(self) -> None:
        """Refuse what is visibly not a text when the DAG file is parsed; called when all fields are set."""
        for name in self._texts():
            value = getattr(self, name, None)
            if isinstance(value, bool | float):
                raise ValueError(f"{name} must be a text, not {value!r}")

    def _texts(self) -> list[str]:
        return [name for name in self._rendered if self.argument_fields[name].kind in (Kind.NAME, Kind.TEXT)]


def _text(name: str, value: Any) -> str | None:
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


def _has_lost_a_value(source: object, value: object) -> bool:
    """Return whether a part of an argument was given and is None now, such as a value of a query."""
    if value is source:
        return False
    if isinstance(source, dict) and isinstance(value, dict):
        return any(_has_lost_a_value(each, value.get(key)) for key, each in source.items())
    if isinstance(source, list | tuple) and isinstance(value, list | tuple):
        return any(map(_has_lost_a_value, source, value))
    return value is None


def _is_blank(value: object) -> bool:
    """Return whether a value is None, a blank text, or Jinja's value of an undefined name."""
    from jinja2 import Undefined

    return value is None or isinstance(value, Undefined) or (isinstance(value, str) and not value.strip())


def _why_missing(value: object) -> str:
    """Describe why a value, or a part of it, counts as missing; empty if it does not. An empty list is a list."""
    if value is None:
        return "None"
    if _is_blank(value):
        return "empty"
    if isinstance(value, str):
        return f"the word {value.strip()!r}" if value.strip().lower() in _WORDS_FOR_NOTHING else ""
    if isinstance(value, float) and value != value:
        return "NaN"
    if isinstance(value, dict) and {"conn_id", "sql"} <= set(value):  # a query for a list
        return next((f"{now} in {name!r}" for name in ("conn_id", "sql") if (now := _why_missing(value[name]))), "")
    return ""
