"""Tracebacks without the values of local variables, which trackers of errors upload: number, text, password."""

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
    """
    Clear the frames of what *function* raises, and of the errors behind it.

    :param function: that holds what nobody else is to see.
    :param and_then: called with the error.
    """

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


def _clear(error: BaseException) -> None:
    left: list[BaseException | None] = [error]
    seen: set[int] = set()
    while left:
        each = left.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        traceback.clear_frames(each.__traceback__)
        if each.__suppress_context__:  # nobody is to see what it was raised instead of
            each.__context__ = None
        left += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]
