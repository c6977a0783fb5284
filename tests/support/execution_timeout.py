"""The time-out of a running task, at the moment that a test chooses."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from tests.support.patience import wait_until

NEVER = timedelta(days=1)
"""For ``execution_timeout``: what ends the task is :func:`passes_when`."""


@contextmanager
def passes_when(condition: Callable[[], object]) -> Iterator[None]:
    """Let the ``execution_timeout`` of a running task expire, by its own signal, once a condition holds."""

    def ring() -> None:
        wait_until(condition)
        os.kill(os.getpid(), signal.SIGALRM)

    ringing = threading.Thread(target=ring)
    ringing.start()
    try:
        yield
    finally:
        ringing.join()
