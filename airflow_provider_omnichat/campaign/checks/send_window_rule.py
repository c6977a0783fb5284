"""The send window as a rule: nobody is written to at night, wherever they live."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from airflow_provider_omnichat.api.errors import InvalidInviteError
from airflow_provider_omnichat.api.reasons import ReasonCode
from airflow_provider_omnichat.campaign.checks.send_window import Never, SendWindow, Shut
from airflow_provider_omnichat.campaign.model.field_values import value_in
from airflow_provider_omnichat.campaign.model.rows import Candidate, Wait
from airflow_provider_omnichat.campaign.phone.location import zones_of
from airflow_provider_omnichat.campaign.phone.time_zones import checked_zone, clock


class WindowRule:
    """Finds whether the window is open where a recipient lives, and if not, how long they have to wait."""

    def __init__(self, window: SendWindow, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._window = window
        self._default = (window.default_zone,) if window.default_zone else ()
        self._now = now

    def check(self, candidate: Candidate, fields: Mapping[str, Any]) -> Candidate:
        zones = self._zones(candidate, fields)
        state = self._window.at(zones, self._now())
        if isinstance(state, Never):
            raise InvalidInviteError.of(
                self._window.zone_column or "to",
                ReasonCode.NEVER_IN_SEND_WINDOW,
                "the number may be in several time zones, which are never inside send_window together; give a wider"
                " window, or the person's own zone in its zone_column",
                f"{len(zones)} time zones",
            )
        if isinstance(state, Shut):  # no refusal: only the ledger knows whether they were sent to long ago
            return candidate._replace(wait=Wait(state.opens_at, _local(state.opens_at, zones)))
        return candidate if state.closes_at is None else candidate._replace(closes_at=state.closes_at.timestamp())

    def _zones(self, candidate: Candidate, fields: Mapping[str, Any]) -> tuple[str, ...]:
        own = value_in(fields, self._window.zone_column)
        if own is not None:
            return (checked_zone(own),)
        zones = zones_of(candidate.invite.to) or self._default
        if not zones:
            raise InvalidInviteError.of(
                "to",
                ReasonCode.NO_TIME_ZONE,
                "its time zone cannot be told from the number, so that send_window cannot be kept; give it a"
                " default_zone, or the person's own zone in its zone_column",
            )
        return zones


def _local(moment: datetime, zones: tuple[str, ...]) -> str:
    if len(zones) > 1:  # whose clocks may differ
        return f"{moment:%Y-%m-%d %H:%M} UTC ({len(zones)} time zones)"
    return f"{moment.astimezone(clock(zones[0])):%Y-%m-%d %H:%M} ({zones[0]})"
