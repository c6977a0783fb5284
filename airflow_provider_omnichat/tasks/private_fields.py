"""Templated fields whose values must not show in Airflow's *Rendered Template* view."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import PurePath
from typing import Any, ClassVar, Self
from weakref import WeakKeyDictionary

from airflow_provider_omnichat.api.privacy import mask_numbers
from airflow_provider_omnichat.tasks.templates import provided_fields


class _Key:
    """Stands in an operator, and in copies of it, for values that are elsewhere."""

    def __deepcopy__(self, _: object) -> Self:
        return self


# Outside of the operators: lineage and trackers of errors take all that they find in one's attributes.
_VALUES: WeakKeyDictionary[_Key, dict[str, Any]] = WeakKeyDictionary()


class PrivateFieldsMixin:
    """
    Lets Airflow render templated fields, then puts what may be shown in their place.

    Airflow stores the attributes named in ``template_fields`` after rendering, for its pages and API. What the task
    works with is kept apart and read with :meth:`private`.
    """

    private_fields: ClassVar[Mapping[str, Callable[[Any], Any]]] = {}
    """Name of each private field, and what makes it fit to be shown; None is shown as it is."""
    shown_templates: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Private fields that are shown as they stand in the DAG file, with nothing filled in, where one of these marks in
    them says that something will be."""

    _private_key: _Key | None = None

    def _do_render_template_fields(self, parent: Any, *args: Any, **kwargs: Any) -> None:
        # Airflow renders plain and mapped tasks through this method alike; render_template_fields is not called for
        # mapped ones.
        if parent is self:
            given = kwargs.get("seen_oids") or (args[3] if len(args) > 3 else ())
            self._make_texts_of_paths(given)
            templates = self._templates_to_show(given) if self._private_key is None else {}
        super()._do_render_template_fields(parent, *args, **kwargs)  # type: ignore[misc]
        if parent is self and self._private_key is None:
            self._private_key = _Key()
            values = _VALUES[self._private_key] = {name: getattr(self, name) for name in self.private_fields}
            shown = {
                name: templates.get(name) or (None if values[name] is None else show(values[name]))
                for name, show in self.private_fields.items()
            }
            for name, value in shown.items():
                setattr(self, name, value)
            arguments = self.__dict__.get("_BaseOperator__init_kwargs", {})  # which Airflow keeps as they were given
            self.__dict__["_BaseOperator__init_kwargs"] = {**arguments, **shown}

    def _templates_to_show(self, given: Collection[int]) -> dict[str, str]:
        """Give what is shown of templates; what another task or a mapped argument has given is data."""
        shown = {}
        for name, marks in self.shown_templates.items():
            source = getattr(self, name)
            if isinstance(source, str) and id(source) not in given and any(mark in source for mark in marks):
                shown[name] = mask_numbers(source)
        return shown

    def _make_texts_of_paths(self, rendered: Collection[int]) -> None:
        """
        Let a path be a template as the same text would be.

        Airflow does not look into a path, and before 3.3 calls its ``resolve``, which fails where there is no file yet.
        What another task has given is data, and has been rendered.
        """
        for name in provided_fields(self):
            value = getattr(self, name, None)
            if isinstance(value, PurePath) and id(value) not in rendered:
                setattr(self, name, str(value))

    def private(self, name: str) -> Any:
        """Give the true value of a private field."""
        return getattr(self, name) if self._private_key is None else _VALUES[self._private_key][name]

    def set_private(self, name: str, value: Any) -> None:
        """Set the true value of a private field while the task runs; what may be shown stays as it is."""
        if self._private_key is None:
            setattr(self, name, value)
        else:
            _VALUES[self._private_key][name] = value
