"""How the provider's own templates are rendered: texts stay texts, and a None that is put into one is noticed."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from airflow_provider_omnichat.campaign.model.field_values import is_blank

_TEXTS_FOR_PEOPLE = frozenset({"message", "link_placeholder", "sql"})
# As a part of a name: spring-None, exports/None/2026.
_NONE_IN_IT = re.compile(r"(?<![^\W_])(?:None|null|nan|NaT)(?![^\W_])")
_MAKES_A_TEXT = frozenset({"capitalize", "join", "lower", "replace", "string", "title", "trim", "upper", "urlencode"})


class TemplatesMixin:
    """
    Renders the fields of the provider's own classes; those that a user's subclass adds are left to Airflow.

    Jinja writes ``None`` for what is not there: in a query, ``last_order < 'None'``. Each value that a template puts
    into a text is looked at, since the text no longer tells.

    Where a DAG has ``render_template_as_native_obj=True``, Jinja takes each text that looks like a literal for one:
    ``"+15123456789"`` becomes a number without its plus, and so perhaps another person's; ``"1_000"`` becomes ``1000``.
    Here a template that is nothing but an object of the context gives that object, as Airflow promises, and every other
    one gives a text.
    """

    not_texts: ClassVar[frozenset[str]] = frozenset()
    """Templated arguments that are something else than a text."""

    _put_in: Mapping[str, list[str]] | None = None

    def _do_render_template_fields(
        self, parent: Any, template_fields: Any, context: Any, jinja_env: Any, *args: Any, **kwargs: Any
    ) -> None:
        render = super()._do_render_template_fields  # type: ignore[misc]
        ours = provided_fields(self) if parent is self else ()
        render(parent, [each for each in template_fields if each not in ours], context, jinja_env, *args, **kwargs)
        put_in = self._put_in = self._put_in or {name: [] for name in ours}
        for name in ours:
            is_name = name not in _TEXTS_FOR_PEOPLE and name not in self.not_texts
            render(parent, [name], context, _noting(jinja_env, put_in[name], is_name), *args, **kwargs)

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


def provided_fields(made: Any) -> tuple[str, ...]:
    """Return the templated fields that the provider has declared, and not a user's subclass."""
    package = __name__.partition(".")[0] + "."
    kinds = [vars(kind) for kind in type(made).__mro__ if kind.__module__.startswith(package)]
    declared = {name for kind in kinds for name in kind.get("template_fields", ())}
    return tuple(name for name in made.template_fields if name in declared)


def _noting(environment: Any, noted: list[str], is_name: bool) -> Any:
    """Return the same environment, which notes the nothings that it puts into texts."""

    def note(value: Any) -> Any:
        if nothing := _nothing_in(value, is_name):
            noted.append(nothing)
        return value

    made = environment.overlay()
    made.noted = noted
    if environment.finalize is None:  # else somebody has said what is to stand for None
        made.finalize = note
        made.code_generator_class = _noting_parts(environment.code_generator_class)
    return made


def _nothing_in(value: object, is_name: bool) -> str | None:
    from jinja2 import Undefined

    if isinstance(value, Undefined):  # an "if" without an "else" has no name
        return "nothing for an undefined name" if value._undefined_name else None
    if isinstance(value, str):  # a text may have the word in it that is no name
        word = _NONE_IN_IT.search(value)
        return f"the word {word.group()!r}" if word and (is_name or value.strip() == "None") else None
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple | set) else (value,)
    return next((f"the word '{part}'" for part in parts if not isinstance(part, str) and is_blank(part)), None)


def _noting_parts(generator: Any) -> type:
    """Have the parts of a text looked at, too, that an expression makes: ``{{ "brand-" ~ brand }}``."""
    from jinja2 import nodes

    def noted(part: Any) -> Any:
        return nodes.Call(nodes.EnvironmentAttribute("finalize"), [part], [], None, None, lineno=part.lineno)

    def visit_template(self: Any, node: nodes.Template, frame: Any = None) -> None:
        each: Any
        for each in list(node.find_all((nodes.Concat, nodes.Mod, nodes.Filter, nodes.Call))):
            if isinstance(each, nodes.Concat):
                each.nodes = [noted(part) for part in each.nodes]
            elif isinstance(each, nodes.Mod):
                each.right = noted(each.right)
            elif getattr(each, "name", "") in _MAKES_A_TEXT and each.node is not None:
                each.node = noted(each.node)
            elif getattr(each, "name", getattr(each.node, "attr", None)) == "format":
                each.args = [noted(part) for part in each.args]
        generator.visit_Template(self, node, frame)

    return type("NotingGenerator", (generator,), {"visit_Template": visit_template})
