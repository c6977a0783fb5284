"""Which event loop sends."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

from airflow_provider_omnichat.api import event_loop
from airflow_provider_omnichat.campaign.engine.process import StopSignal, run_beside


def test_a_list_is_sent_in_it_and_not_in_the_main_thread(monkeypatch):
    began: list[tuple[str, bool]] = []

    def begin(main: Coroutine[Any, Any, None]) -> None:
        main.close()
        began.append((threading.current_thread().name, threading.current_thread() is threading.main_thread()))

    async def campaign() -> None: ...

    monkeypatch.setattr(event_loop, "run", begin)
    assert run_beside(campaign, StopSignal()) is None
    assert began == [("omnichat-batch", False)]


def test_python_resolves_names(monkeypatch):
    """The resolver of uvloop is libuv's, which crashes an interpreter that ends while it is busy."""
    pytest.importorskip("uvloop", reason="Airflow 3 brings uvloop")
    monkeypatch.setattr(event_loop, "getaddrinfo", lambda *name, **how: [name, how])

    async def resolve() -> object:
        return await asyncio.get_running_loop().getaddrinfo("vendor.test", 443, family=2)

    assert event_loop.run(resolve()) == [("vendor.test", 443), {"family": 2}]


@pytest.mark.parametrize("has_uvloop", [True, False])
def test_uvloop_runs_it_where_it_is_installed(monkeypatch, has_uvloop):
    async def loop() -> bool:
        return any(kind.__module__ == "uvloop.loop" for kind in type(asyncio.get_running_loop()).__mro__)

    if has_uvloop:
        pytest.importorskip("uvloop", reason="Airflow 3 brings uvloop")
    else:
        monkeypatch.setitem(sys.modules, "uvloop", None)
    assert event_loop.run(loop()) == has_uvloop
