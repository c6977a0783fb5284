"""The event loop of a thread in which many invites are sent at once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from socket import getaddrinfo
from typing import Any, TypeVar

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """
    Do what ``asyncio.run`` does, by uvloop where it is installed, as with Airflow 3: less CPU an invite.

    Not for the main thread: uvloop swallows what a signal's handler raises, such as ``execution_timeout``.
    """
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)

    class Loop(uvloop.Loop):
        # uvloop's own resolver crashes an interpreter that ends before the name is resolved.
        async def getaddrinfo(self, host: Any, port: Any, **how: Any) -> Any:
            return await self.run_in_executor(None, partial(getaddrinfo, host, port, **how))

    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(main)
