"""The trigger that waits until invites are delivered: it only asks the vendor's SMS logs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_omnichat.hooks.omnichat import OmnichatHook


class InviteDeliveryTrigger(BaseTrigger):
    """
    Wait until some invites have a final status, or the time is up.

    It keeps no state: a restarted triggerer begins again. The worker reads the invites outside the sample, and writes
    what was found. Airflow keeps *message_ids* in its metadata database: no more than one request takes.

    :param wake: when to give up, ISO 8601 with a time zone.
    :param until: when the sensor's time is up; returned with the event, as ``dag.test`` keeps nothing over a deferral.
    """

    def __init__(
        self, omnichat_conn_id: str, message_ids: list[str], poke_interval: float, wake: str, until: str
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's own
        self.omnichat_conn_id = omnichat_conn_id
        self.message_ids = message_ids
        self.poke_interval = poke_interval
        self.wake = wake
        self.until = until

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what Airflow makes the same trigger from."""
        names = ("omnichat_conn_id", "message_ids", "poke_interval", "wake", "until")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event, when it is time for the worker to look."""
        from airflow_provider_omnichat.api.errors import OmnichatError

        try:
            reason = await self._wait()
        except OmnichatError as error:  # the worker meets the same error, and raises it where people look
            self.log.warning("%s", error)
            reason = "error"
        yield TriggerEvent({"reason": reason, "until": self.until})  # type: ignore[no-untyped-call]  # Airflow's own

    async def _wait(self) -> str:
        from asgiref.sync import sync_to_async

        from airflow_provider_omnichat.api.aio import AsyncOmnichatClient
        from airflow_provider_omnichat.api.logs import SmsLogs

        hook = OmnichatHook(self.omnichat_conn_id)
        # In a thread: some versions of Airflow cannot look a connection up in the event loop.
        account = await sync_to_async(lambda: hook.account)()
        wake = datetime.fromisoformat(self.wake)
        async with AsyncOmnichatClient(account, concurrency=1) as client:
            logs = SmsLogs(client)
            while not await logs.are_final(self.message_ids):
                left = (wake - datetime.now(UTC)).total_seconds()
                if left <= 0:
                    return "time"
                await asyncio.sleep(min(self.poke_interval, left))
        return "final"
