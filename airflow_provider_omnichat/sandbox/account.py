"""The vendor's account that the sandbox plays: who may send, through which applications, and what was sent."""

from __future__ import annotations

import base64
import binascii
import json
import os
import random
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf

from aiohttp import web

from airflow_provider_omnichat.sandbox.fault_plan import FaultPlan
from airflow_provider_omnichat.sandbox.limits import FloodFilter, TokenBucket, Window
from airflow_provider_omnichat.sandbox.outbox import Outbox, Receipt
from airflow_provider_omnichat.sandbox.settings import Settings, new_application_key
from airflow_provider_omnichat.sandbox.statuses import DUPLICATE, PENDING, DeliveryPlan, Status


class Account:
    """All state of one sandbox. Only its event loop touches it."""

    def __init__(self, settings: Settings, plan: FaultPlan) -> None:
        self.settings = settings
        self.plan = plan
        self.bucket = TokenBucket(settings.rate_limit) if settings.rate_limit is not None else None
        self.delivery = DeliveryPlan(settings.delivery_after, settings.delivery, settings.logs_lag, plan.seed)
        self.logs_window = Window(settings.logs_limit, seconds=60.0)
        self.listeners: list[Callable[[Receipt], None]] = []
        self._applications = {settings.application_key: "sandbox"}
        self._waits = random.Random(plan.seed)  # noqa: S311 - reproducible on purpose, guards nothing
        self._token_ends: dict[tuple[str, str], float] = {}
        ours = settings.credentials
        self._pair = f"{ours.user}:{ours.password}"
        # The headers that nearly every request carries, compared whole: this runs for each invite.
        self._known = {f"Basic {base64.b64encode(self._pair.encode()).decode()}", f"App {ours.api_key}"}
        self.clear()

    def admits(self, header: str | None) -> bool:
        """Return whether the Authorization header is a valid one."""
        if header is None:
            return False
        if header in self._known:
            return True
        scheme, _, secret = header.partition(" ")
        secret = secret.strip()
        match scheme.lower():
            case "basic":
                return self._is_user(secret)
            case "app":
                return secret == self.settings.credentials.api_key
            case "bearer" | "ibsso" as kind:
                return time.monotonic() < self._token_ends.get((kind, secret), 0.0)
        return False

    def _is_user(self, encoded: str) -> bool:
        try:
            pair = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            return False
        # Clients write a password outside ASCII in either of two encodings.
        return pair in {self._pair.encode(), self._pair.encode("latin-1", "replace")}

    def issue_token(self, kind: str, login: object, secret: object) -> str | None:
        """Return a token, ``bearer`` for a client or ``ibsso`` for a user; None if the login is not known."""
        ours = self.settings.credentials
        known = {"bearer": (ours.client_id, ours.client_secret), "ibsso": (ours.user, ours.password)}
        if (login, secret) != known[kind]:
            return None
        now = time.monotonic()
        self._token_ends = {key: ends for key, ends in self._token_ends.items() if ends > now}
        token = secrets.token_urlsafe(24)
        self._token_ends[kind, token] = now + self.settings.token_lifetime
        return token

    def has_application(self, key: str) -> bool:
        """Return whether the application key exists."""
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

    def is_repeat(self, message_id: str | None) -> bool:
        """Return whether an accepted message has this id, and the grace period lasts; if not, one has it from now."""
        if message_id is None or self.settings.repeated_ids == "ignored":
            return False
        now = time.monotonic()
        if now - self._kept_ids.get(message_id, -inf) < self.settings.id_grace:
            return True
        self._kept_ids[message_id] = now
        return False

    def standing(self, receipt: Receipt, now: float) -> tuple[Status, float | None] | None:
        """Return the status that the logs have, and when it became final; None if they do not have the message."""
        if not receipt.suppressed:
            return self.delivery.at(receipt.sequence, receipt.time, now) if receipt.accepted else None
        if now < receipt.time + self.delivery.lag:
            return None
        # One that was answered as pending is rejected only when it is processed.
        done = receipt.time + (0.0 if receipt.status is DUPLICATE else self.delivery.after[0])
        return (DUPLICATE, done) if now >= done else (PENDING, None)

    def record(self, receipt: Receipt) -> None:
        """Keep what reached the sandbox, before the client hears of it."""
        self.outbox.add(receipt)
        for listener in self.listeners:
            listener(receipt)

    @contextmanager
    def outbox_file(self) -> Iterator[None]:
        """Append each invite request as a JSON line to the outbox file, if one is set."""
        path = self.settings.outbox_file
        if path is None:
            yield
            return
        # The file holds whole numbers: readable by its owner only, and a line is out as soon as it is known.
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "a", encoding="utf-8", buffering=1) as file:

            def write(receipt: Receipt) -> None:
                file.write(json.dumps(receipt.as_json()) + "\n")

            self.listeners.append(write)
            try:
                yield
            finally:
                self.listeners.remove(write)

    def clear(self) -> None:
        """Forget what was sent; faults and script stay."""
        self.outbox = Outbox(self.settings.keep)
        self.flood_filter = FloodFilter() if self.settings.flood_filter else None
        self._kept_ids: dict[str, float] = {}


ACCOUNT = web.AppKey("ACCOUNT", Account)
