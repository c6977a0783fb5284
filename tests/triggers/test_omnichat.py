"""The trigger: it asks, and nothing else."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_omnichat.sandbox import Sandbox, Settings
from airflow_provider_omnichat.triggers.omnichat import InviteDeliveryTrigger
from tests.support.patience import PATIENCE_SECONDS
from tests.support.wire_server import answer

UNTIL = "2026-12-01T00:00:00+00:00"


def trigger(*ids: str, seconds: float = PATIENCE_SECONDS, **given: Any) -> InviteDeliveryTrigger:
    wake = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
    fields = {"omnichat_conn_id": "omnichat_default", "poke_interval": 0.02, "wake": wake, "until": UNTIL, **given}
    return InviteDeliveryTrigger(message_ids=list(ids), **fields)


def event_of(made: InviteDeliveryTrigger) -> Any:
    async def first() -> Any:
        return [event.payload async for event in made.run()]

    (event,) = asyncio.run(first())
    return event


def page(**statuses: int) -> bytes:
    rows = [{"messageId": name, "status": {"groupId": group, "id": 0}} for name, group in statuses.items()]
    return answer(200, {"results": rows})


def test_it_asks_again_until_all_are_final(wire, hook_for):
    server = wire(page(a=1), page(a=3, b=1), page(a=3, b=2))
    hook_for(server)
    assert event_of(trigger("a", "b")) == {"reason": "final", "until": UNTIL}
    assert len(server.seen) == 3
    assert {seen.method for seen in server.seen} == {"GET"}  # none of it sends


def test_it_gives_up_when_the_time_is_up(wire, hook_for):
    hook_for(wire(*[page(a=1)] * 100))
    assert event_of(trigger("a", seconds=0.1)) == {"reason": "time", "until": UNTIL}


def test_it_asks_once_even_if_the_time_was_up_before(wire, hook_for):
    hook_for(wire(page(a=3)))
    assert event_of(trigger("a", seconds=-10)) == {"reason": "final", "until": UNTIL}


@pytest.mark.parametrize("fields", [{}, {"login": "", "password": ""}], ids=["refused", "no credentials"])
def test_what_it_cannot_do_is_left_to_the_worker_to_say(wire, hook_for, fields):
    hook_for(wire(answer(403, {})), **fields)
    assert event_of(trigger("a")) == {"reason": "error", "until": UNTIL}


def test_a_token_is_asked_for_in_the_event_loop_too(hook_for):
    with Sandbox(seed=1, settings=Settings()) as sandbox:
        ours = sandbox.credentials
        hook_for(sandbox, login=ours.client_id, password=ours.client_secret, extra={"auth_type": "oauth2"})
        assert event_of(trigger("a", seconds=0)) == {"reason": "time", "until": UNTIL}


def test_what_airflow_stores_of_it_makes_the_same_again():
    made = trigger("a", "b")
    path, stored = made.serialize()
    assert path == "airflow_provider_omnichat.triggers.omnichat.InviteDeliveryTrigger"
    assert InviteDeliveryTrigger(**stored).serialize() == made.serialize()
