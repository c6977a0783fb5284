"""How templates are rendered: texts stay texts, and a None that is put into one is noted."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

from airflow_provider_omnichat.campaign.model.field_values import is_blank

# As a part of a name: spring-None, exports/None/2026.
_NONE_IN_IT = re.compile(r"(?<![^\W_])(?:None|null|nan|NaT)(?![^\W_])")
_MAKES_A_TEXT = frozenset({"capitalize", "join", "lower", "replace", "string", "title", "trim", "upper", "urlencode"})


class NotesNone:
    """
    Renders with an environment of :func:`noting`, also where a DAG has ``render_template_as_native_obj=True``.

    There, Jinja takes each text that looks like a literal for one: ``"+15123456789"`` becomes a number without its
    plus, and so perhaps another person's; ``"1_000"`` becomes ``1000``. Here, a template that is nothing but an object
    of the context gives that object, as Airflow promises, and every other one gives a text.
    """

    def _render(self, template: Any, context: Any, dag: Any = None) -> Any:
        from jinja2.nativetypes import NativeEnvironment

        environment = template.environment
        if not isinstance(environment, NativeEnvironment) or not hasattr(environment, "noted"):
            return super()._render(template, context, dag)  # type: ignore[misc]
        before = len(environment.noted)
        # As Airflow does it: the context is copied as what it is, since one made to a dict would look up all it has.
        variables = copy.copy(context)
        variables.update((name, value) for name, value in template.globals.items() if name not in variables)
        made = environment.context_class(environment, variables, template.name, template.blocks)
        try:
            pieces = list(template.root_render_func(made))
        except Exception:
            environment.handle_exception()
            raise
        if len(pieces) != 1:
            return "".join(map(str, pieces))
        if not isinstance(pieces[0], str):  # an object, and no text that something was put into
            del environment.noted[before:]
        return pieces[0]


def noting(environment: Any, noted: list[str], *, is_name: bool) -> Any:
    """
    Return the same environment, which notes every None that it puts into a text.

    Jinja writes ``None`` for what is missing, as in ``last_order < 'None'``, and afterwards the text does not show
    where it comes from.
    """

    def note(value: Any) -> Any:
        if nothing := _nothing_put_in(value, is_name):
            noted.append(nothing)
        return value

    made = environment.overlay()
    made.noted = noted
    if environment.finalize is None:  # else the DAG says what is written for None
        made.finalize = note
        # A filter such as map gives each of its values once.
        made.note_part = lambda value: note(list(value) if isinstance(value, Iterator) else value)
        made.code_generator_class = _noting_parts(environment.code_generator_class)
    return made


def _nothing_put_in(value: object, is_name: bool) -> str | None:
    from jinja2 import Undefined

    if isinstance(value, Undefined):  # an "if" without an "else" has no name
        return "nothing for an undefined name" if value._undefined_name else None
    if isinstance(value, str):  # a text that is not a name may have the word in it
        word = _NONE_IN_IT.search(value)
        return f"the word {word.group()!r}" if word and (is_name or value.strip() == "None") else None
    if not isinstance(value, dict | list | tuple | set):
        return f"the word '{value}'" if is_blank(value) else None
    parts = value.values() if isinstance(value, dict) else value
    return next(filter(None, (_nothing_put_in(part, is_name) for part in parts)), None)


def _noting_parts(generator: Any) -> type:
    """Return a generator that also notes the parts of a text made by an expression: ``{{ "brand-" ~ brand }}``."""
    from jinja2 import nodes

    def noted(part: Any) -> Any:
        return nodes.Call(nodes.EnvironmentAttribute("note_part"), [part], [], None, None, lineno=part.lineno)

    def makes_a_text(each: Any) -> bool:
        name = getattr(each, "name", "")
        if name == "map" and each.args:
            name = getattr(each.args[0], "value", "")
        return name in _MAKES_A_TEXT and each.node is not None

    def visit_template(self: Any, node: nodes.Template, frame: Any = None) -> None:
        each: Any
        for each in list(node.find_all((nodes.Concat, nodes.Mod, nodes.Filter, nodes.Call))):
            if isinstance(each, nodes.Concat):
                each.nodes = [noted(part) for part in each.nodes]
            elif isinstance(each, nodes.Mod):
                each.right = noted(each.right)
            elif makes_a_text(each):
                each.node = noted(each.node)
            elif getattr(each, "name", getattr(each.node, "attr", None)) in ("format", "join"):
                each.args = [noted(part) for part in each.args]
                for given in each.kwargs:
                    given.value = noted(given.value)
        generator.visit_Template(self, node, frame)

    return type("NotingGenerator", (generator,), {"visit_Template": visit_template})
