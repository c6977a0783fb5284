"""The channel to the process that supervises a task: on some Airflows, only one thread at a time may use it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

P = ParamSpec("P")

_TURN = threading.RLock()


def in_turn(function: Callable[P, Any], *, seconds: float = -1) -> Callable[P, Any]:
    """Return a function that waits until no other thread of a campaign talks to the supervisor."""
    # The channel has its own lock from Airflow 3.2 on, but not in `dags test`: there, two threads get each other's
    # answers, or an ImportError. Called in the task's main thread, before a campaign has others.
    runner = sys.modules.get("airflow.sdk.execution_time.task_runner")
    channel = getattr(runner, "SUPERVISOR_COMMS", None)
    if channel is None or hasattr(channel, "_thread_lock"):
        return function

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> Any:
        if not _TURN.acquire(timeout=seconds):
            return None
        try:
            return function(*args, **kwargs)
        finally:
            _TURN.release()

    return call
