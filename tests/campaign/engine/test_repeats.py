"""Repeats of invites in doubt: one at a time until the vendor has recognised one, and whatever happens, each ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from airflow_provider_omnichat.api.errors import InviteUnknownError
from airflow_provider_omnichat.api.models import Invite, InviteAnswer
from airflow_provider_omnichat.api.sms import SmsInvite
from airflow_provider_omnichat.campaign.model.rows import Candidate
from airflow_provider_omnichat.campaign.sending.pacer import Pacer
from airflow_provider_omnichat.campaign.sending.repeats import Repeats
from airflow_provider_omnichat.campaign.sending.sender import Ended, Sender
from tests.support.pace_model import in_virtual_time
from tests.support.patience import PATIENCE_SECONDS
from tests.support.reasons import why

LOST = InviteUnknownError(why("The invite may have been sent, or not: no answer came"))


class Vendor:
    """Answers nothing, and has logs that never answer."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def send_once(self, invite: Invite) -> InviteAnswer:
        self.sent.append(invite.to)
        await asyncio.sleep(0)
        raise LOST

    async def exchange(self, _: object) -> Any:
        await asyncio.Event().wait()


class Stuck:
    """A ledger that takes for ever to note anything."""

    async def __call__(self, _: str | None) -> bool:
        await asyncio.Event().wait()
        return True


async def noted(_: str | None) -> bool:
    return True


@pytest.mark.parametrize("note", [noted, Stuck()], ids=["looks at a repeat", "notes a repeat"])
@pytest.mark.parametrize("last", [None, "id-of-an-earlier-try"])
def test_a_task_that_is_stopped_ends_while_it(note, last):
    vendor, ended = Vendor(), list[Ended]()

    async def main() -> None:
        now = asyncio.get_running_loop().time
        repeats = Repeats(vendor, PATIENCE_SECONDS, note, last)  # type: ignore[arg-type]
        sender = Sender(
            vendor,  # type: ignore[arg-type]
            Pacer(clock=now),
            concurrency=4,
            retry_budget=1.0,
            ended=ended.append,
            clock=now,
            repeats=repeats,
        )
        sender.start()
        for index in range(5):
            invite = SmsInvite(str(index), "m", message_id=f"id-{index}", repeat_until=float("inf"))
            sender.put(Candidate(index, None, invite, f"r{index}", str(index)))
        async with asyncio.timeout(3600):
            await asyncio.sleep(5)
            assert sender.unended
            await sender.abandon(3.5)
            await sender.close()
        assert len(asyncio.all_tasks()) == 1

    in_virtual_time(main)
    assert sorted(each.candidate.position for each in ended) == list(range(5))
    assert {str(each.outcome) for each in ended} == {"unknown"}
    assert len(vendor.sent) <= 6, "one of them was repeated"
