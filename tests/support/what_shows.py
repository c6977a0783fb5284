"""All that a log, a console or a debugger could show of an error."""

from __future__ import annotations

import traceback


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
