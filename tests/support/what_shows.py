"""All that a log, a console or a debugger could show of an error."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from typing import Any


def shown_by(error: BaseException | None) -> str:
    """All that a log, a console or a debugger without locals may show of an error and of those behind it."""
    shown: list[str] = []
    seen: set[int] = set()

    def walk(each: BaseException | None) -> None:
        if each is None or id(each) in seen:
            return
        seen.add(id(each))
        shown.extend([str(each), repr(each), repr(each.args), *getattr(each, "__notes__", [])])
        for name in ("vendor_text", "code", "problem"):
            shown.append(str(getattr(each, name, "")))
        walk(each.__cause__)
        walk(None if each.__suppress_context__ else each.__context__)

    walk(error)
    if error is not None:
        shown.extend(traceback.format_exception(error))
    return "\n".join(shown)


def held_by(value: Any, *, most: int = 8) -> Iterator[str]:
    """All texts and numbers that a walk finds in a value and its parts, and in the attributes of what is ours."""
    seen: set[int] = set()

    def walk(each: Any, depth: int) -> Iterator[str]:
        is_context = type(each) is dict and "ti" in each  # of Airflow, some of which asks a supervisor that is gone
        if id(each) in seen or depth > most or is_context:
            return
        seen.add(id(each))
        yield str(each) if isinstance(each, str | bytes | int) else repr(each)
        if isinstance(each, Mapping):
            parts = [*each, *each.values()]
        elif isinstance(each, list | tuple | set | frozenset):
            parts = list(each)
        elif type(each).__module__.startswith("airflow_provider_omnichat.") or "task_type" in dir(type(each)):
            names = [name for kind in type(each).__mro__ for name in vars(kind).get("__slots__", ())]
            slots = [getattr(each, name, None) for name in names if not name.startswith("__")]
            parts = [*(part for name, part in getattr(each, "__dict__", {}).items() if "dag" not in name), *slots]
        else:
            return
        for part in parts:
            yield from walk(part, depth + 1)

    return walk(value, 0)


def held_by_frames(error: BaseException | None) -> Iterator[str]:
    """All that the local variables hold, in the frames of an error and of all behind it, shown or not."""
    left: list[BaseException | None] = [error]
    seen: set[int] = set()
    while left:
        each = left.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        left += [each.__cause__, each.__context__]
        for frame, _ in traceback.walk_tb(each.__traceback__):
            for name, value in frame.f_locals.items():
                if name not in {"context", "ti", "log"}:
                    yield from held_by(value)
