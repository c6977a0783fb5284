"""A vendor whose invites end as a test wants it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from airflow_provider_omnichat.sandbox import Sandbox, Settings


@pytest.fixture
def vendor(hook_for: Any) -> Iterator[Callable[..., Sandbox]]:
    """
    Start a sandbox, with the connection to it.

    Invites have their final status at once, or *after* so many seconds.
    """
    with ExitStack() as stack:

        def start(after: float | tuple[float, float] = 0.0, **fields: Any) -> Sandbox:
            span = after if isinstance(after, tuple) else (after, after)
            sandbox = stack.enter_context(Sandbox(seed=1, settings=Settings(delivery_after=span, **fields)))
            hook_for(sandbox)
            return sandbox

        yield start
