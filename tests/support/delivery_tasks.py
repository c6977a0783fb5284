"""A sensor as tests make it, and its trigger as the triggerer runs it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

from airflow_provider_omnichat.sensors.omnichat import InviteDeliverySensor
from tests.support.airflow_harness import TaskRun, run_task
from tests.support.deferrals import Deferral, woken_with
from tests.support.patience import PATIENCE_SECONDS


def sensor(invites: Any = None, **given: Any) -> InviteDeliverySensor:
    fields = {"task_id": "delivery", "deferrable": True, "timeout": PATIENCE_SECONDS, "poke_interval": 0.05, **given}
    return InviteDeliverySensor(invites=invites, **fields)


def triggered(deferral: Deferral | None, seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
    """
    Run a trigger from what Airflow stores of it; give its event.

    :param seconds: after which the triggerer ends.
    """

    assert deferral is not None, "it did not go to sleep"

    async def first_event() -> Any:
        module, _, name = deferral.classpath.rpartition(".")
        stored = json.loads(json.dumps(deferral.trigger))
        trigger = getattr(import_module(module), name)(**stored)
        assert trigger.serialize() == (deferral.classpath, stored)
        async for event in trigger.run():
            return event.payload
        raise AssertionError("no event")

    return dict(asyncio.run(asyncio.wait_for(first_event(), seconds)))


def woken(deferral: Deferral | None) -> Deferral:
    """The deferral as it ends: with the event of its trigger."""
    event = triggered(deferral)
    assert deferral is not None
    return woken_with(deferral, event)


def run_through(task: Any, **given: Any) -> TaskRun:
    """Run a sensor to its end, as worker and triggerer do in turn."""
    run = run_task(task, **given)
    while run.deferral is not None:
        run = run_task(task, resume=woken(run.deferral), **given)
    return run


def time_is_up(deferral: Deferral | None) -> Deferral:
    """The same deferral, at its end."""
    assert deferral is not None, "it did not go to sleep"
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    return replace(deferral, trigger={**deferral.trigger, "wake": past, "until": past})


def counts(run: TaskRun) -> dict[str, int]:
    """The counts that are not zero."""
    return {state: count for state, count in run.xcom["return_value"].items() if count}
