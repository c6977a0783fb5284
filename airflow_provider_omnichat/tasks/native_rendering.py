"""Templates of a DAG that renders to native objects: objects stay objects, and texts stay texts."""

from __future__ import annotations

import copy
from typing import Any


class TextStaysTextMixin:
    """
    Keeps Airflow from reading texts as Python where a DAG has ``render_template_as_native_obj=True``.

    Jinja takes each text that looks like a literal for one: ``"+15123456789"`` becomes a number without its plus, and
    so perhaps another person's; ``"1_000"`` becomes ``1000``, and ``"2026"`` no text any more. Here a template that is
    nothing but an object of the context gives that object, as Airflow promises, and every other one gives a text.
    """

    def _render(self, template: Any, context: Any, dag: Any = None) -> Any:
        from jinja2.nativetypes import NativeEnvironment

        environment = template.environment
        if not isinstance(environment, NativeEnvironment):
            return super()._render(template, context, dag)  # type: ignore[misc]
        # As Airflow does it: the context is copied as what it is, since one made to a dict would look up all it has.
        variables = copy.copy(context)
        variables.update((name, value) for name, value in template.globals.items() if name not in variables)
        made = environment.context_class(environment, variables, template.name, template.blocks)
        try:
            pieces = list(template.root_render_func(made))
        except Exception:
            environment.handle_exception()
            raise
        return pieces[0] if len(pieces) == 1 else "".join(map(str, pieces))
