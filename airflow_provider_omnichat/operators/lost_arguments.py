"""Templated arguments that were given in the DAG file and are gone when the task runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from airflow.providers.common.compat.sdk import AirflowFailException


class LostArgumentsMixin:
    """
    Keeps a task from going on without an argument that somebody has given.

    What a template or another task gives may be nothing: then the opt-out list, the approval, the ledger or the place
    of the results that somebody asked for would not be there, under a green task. Written down as None or as an empty
    text, an argument is not given.

    In a mapped task, whatever it is expanded to is given: a None there is refused as one from another task is. (That it
    is None on purpose can be said by leaving it out of *expand_kwargs*.)
    """

    may_become_empty: ClassVar[frozenset[str]] = frozenset()
    """Templated arguments that may render to nothing, because nothing says something."""

    _given: Mapping[str, str] | None = None

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
        if parent is self and self._given is None:
            expanded = self.__dict__.pop("_expanded", frozenset())
            self._given = {
                name: "; leave it out of expand_kwargs where there is none" if name in expanded else ""
                for name in self._must_last()
                if name in expanded or not _is_nothing(getattr(self, name))
            }
        super()._do_render_template_fields(parent, *args, **kwargs)  # type: ignore[misc]

    def refuse_lost_arguments(self) -> None:
        """
        End the task when an argument is gone.

        :raises AirflowFailException: naming it.
        """
        operator: Any = self
        for name, advice in (self._given or {}).items():
            value = operator.private(name) if name in operator.private_fields else getattr(self, name)
            if _is_nothing(value):
                now = "None" if value is None else "empty"
                raise AirflowFailException(
                    f"Nothing was sent. {name}: was given and is {now} now; see what the task or template that it comes"
                    f" from has given{advice}"
                )

    def _must_last(self) -> list[str]:
        operator: Any = self
        return [name for name in operator.template_fields if name not in self.may_become_empty]


def _is_nothing(value: object) -> bool:
    """Tell whether an argument is None or a blank text; an empty list is a list."""
    return value is None or (isinstance(value, str) and not value.strip())
