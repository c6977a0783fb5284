"""The vendor's account that the sandbox plays: who may send, through which applications, and what was sent."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from aiohttp import web

from airflow_provider_omnichat.sandbox.delivery import DeliveryPlan
from airflow_provider_omnichat.sandbox.gate import Gate
from airflow_provider_omnichat.sandbox.limits import FloodFilter, TokenBucket, Window
from airflow_provider_omnichat.sandbox.outbox import Outbox, Receipt
from airflow_provider_omnichat.sandbox.sent_index import SentIndex
from airflow_provider_omnichat.sandbox.settings import Settings, new_application_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_omnichat.sandbox.fault_plan import FaultPlan


class Account:
    """All state of one sandbox. Only its event loop touches it."""

    def __init__(self, settings: Settings, plan: FaultPlan) -> None:
        self.settings = settings
        self.plan = plan
        self.outbox = Outbox(settings.keep)
        self.gate = Gate(settings.credentials, settings.token_lifetime)
        self.bucket = TokenBucket(settings.rate_limit) if settings.rate_limit is not None else None
        self.flood_filter = FloodFilter() if settings.flood_filter else None
        self.delivery = DeliveryPlan(settings.delivery_after, settings.delivery, settings.logs_lag, plan.seed)
        self.logs_window = Window(settings.logs_limit, seconds=60.0)
        self.sent = SentIndex(self.outbox)
        self.listeners: list[Callable[[Receipt], None]] = []
        self._applications = {settings.application_key: "sandbox"}
        self._waits = random.Random(plan.seed)  # noqa: S311 - reproducible on purpose, guards nothing

    def has_application(self, key: str) -> bool:
        """Tell whether the application key exists."""
        return key in self._applications

    def add_application(self, name: str) -> str:
        """Create an application and return its key."""
        key = new_application_key()
        self._applications[key] = name
        return key

    def latency(self) -> float:
        """Return how long the next answer waits, in seconds."""
        shortest, longest = self.settings.latency
        return self._waits.uniform(shortest, longest) if longest > 0 else 0.0

    def record(self, receipt: Receipt) -> None:
        """Keep what reached the sandbox, before the client hears of it."""
        self.outbox.add(receipt)
        for listener in self.listeners:
            listener(receipt)

    def clear(self) -> None:
        """Forget what was sent; faults and script stay."""
        self.outbox.clear()
        self.sent.clear()
        if self.flood_filter is not None:
            self.flood_filter.clear()


ACCOUNT = web.AppKey("ACCOUNT", Account)
