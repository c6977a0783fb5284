"""Python's garbage collector, while thousands of small objects come and go in a process with all of Airflow in it."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_YOUNG_OBJECTS = 20_000


@contextmanager
def rarely_collected() -> Iterator[None]:
    """
    Collect less often in the body of the ``with``, and leave out what was there before.

    What Airflow has loaded is some 600,000 objects that stay. Each full collection walks through them for a third of a
    second, in which nothing is sent, and a list makes one due every few thousand invites. Set aside (``gc.freeze``),
    they are not looked at until the end. Where somebody has set objects aside already, as LocalExecutor does before it
    starts a task, theirs stay so and no more are added, since Python can only give all of them back.
    """
    freezes = gc.isenabled() and not gc.get_freeze_count()
    before = gc.get_threshold()
    if freezes:
        gc.freeze()
    if before[0]:  # 0 says that nobody wants it to run by itself
        gc.set_threshold(max(_YOUNG_OBJECTS, before[0]), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        if freezes:
            gc.unfreeze()
