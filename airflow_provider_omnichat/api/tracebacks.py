"""Tracebacks without the values of local variables (number, text, password), which error trackers upload."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def leaves_no_locals(
    function: Callable[P, T], and_then: Callable[[BaseException], None] = lambda error: None
) -> Callable[P, T]:
    """Clear the frames of an error that *function* raises, and of those behind it; then call *and_then* with it."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            _clear(error)
            and_then(error)
            del args, kwargs  # this frame is the one that stays
            raise

    return call


def _clear(error: BaseException, seen: frozenset[int] = frozenset()) -> None:
    traceback.clear_frames(error.__traceback__)
    if error.__suppress_context__:  # raised "from None": what it replaces must not show
        error.__context__ = None
    for behind in (error.__cause__, error.__context__, *getattr(error, "exceptions", ())):
        if behind is not None and id(behind) not in seen:
            _clear(behind, seen | {id(error)})
