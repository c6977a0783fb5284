"""Rows of results, as a batch gives them to where results go."""

from __future__ import annotations

from functools import partial
from typing import Any

from airflow_provider_omnichat.api.identity import recipient_key
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.model.rows import Result

key_of = partial(recipient_key, "welcome")


def made(position: int, outcome: Outcome = Outcome.ACCEPTED, to: str | None = None, **more: Any) -> Result:
    to = f"4179302{position:04d}" if to is None else to
    return Result(position, more.pop("key", f"c{position}"), to, outcome, "2026-07-30T12:00:00.250+00:00", **more)


def give(*results: Result) -> list[tuple[str | None, Result]]:
    return [(key_of(result.to) if result.to else None, result) for result in results]
