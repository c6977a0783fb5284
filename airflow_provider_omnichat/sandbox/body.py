"""What the JSON body of a request must look like, and what is wrong with one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import inf
from typing import Any, NamedTuple

from airflow_provider_omnichat.sandbox.replies import Problems

_NAMES = {str: "a string", int: "a whole number", list: "a list", dict: "an object"}


class Rule(NamedTuple):
    """What a value must be; *parts* are the rules for the fields of an object, or of each object in a list."""

    kind: type
    required: bool = False
    longest: float = inf
    may_be_empty: bool = True
    parts: Mapping[str, Rule] = {}


def object_in(raw: bytes) -> dict[str, Any] | None:
    """Read the body of a request; None if it is not a JSON object."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def read(raw: bytes, parts: Mapping[str, Rule]) -> tuple[dict[str, Any], Problems | None]:
    """Read a body without its wrong fields, and what is wrong with them; None if it is not a JSON object."""
    body = object_in(raw)
    if body is None:
        return {}, None
    problems: Problems = {}
    _check(body, Rule(dict, parts=parts), "", problems)
    return {name: value for name, value in body.items() if name not in problems}, problems


def _check(value: object, rule: Rule, path: str, problems: Problems) -> None:
    if value is None:
        if rule.required:
            problems[path] = ["may not be null"]
    elif not isinstance(value, rule.kind) or isinstance(value, bool):
        problems[path] = [f"must be {_NAMES[rule.kind]}"]
    elif not value and not rule.may_be_empty:
        problems[path] = ["may not be empty"]
    elif isinstance(value, str):
        if len(value) > rule.longest:
            problems[path] = [f"must be at most {rule.longest} characters"]
        elif not value.isascii() and any("\ud800" <= each <= "\udfff" for each in value):
            # Half of a surrogate pair: JSON can carry it, an SMS cannot.
            problems[path] = ["is not valid Unicode text"]
    elif isinstance(value, list) and rule.parts:
        for position, each in enumerate(value):
            _check(each, Rule(dict, required=True, parts=rule.parts), f"{path}[{position}]", problems)
    elif isinstance(value, dict):
        for name, part in rule.parts.items():
            _check(value.get(name), part, f"{path}.{name}" if path else name, problems)
