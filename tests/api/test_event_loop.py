"""Which event loop sends."""

from __future__ import annotations

import asyncio
import sys

import pytest

from airflow_provider_omnichat.api import event_loop


@pytest.mark.parametrize("has_uvloop", [True, False])
def test_uvloop_runs_it_where_it_is_installed(monkeypatch, has_uvloop):
    async def loop() -> str:
        return type(asyncio.get_running_loop()).__module__

    if has_uvloop:
        pytest.importorskip("uvloop", reason="Airflow 3 brings uvloop")
    else:
        monkeypatch.setitem(sys.modules, "uvloop", None)
    assert event_loop.run(loop()).partition(".")[0] == ("uvloop" if has_uvloop else "asyncio")
