"""The send window as a rule of the gate: nobody is written to at night, wherever they live."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from airflow_provider_omnichat.api.errors import InvalidInviteError
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.missing import value_in
from airflow_provider_omnichat.campaign.number_zones import zones_of
from airflow_provider_omnichat.campaign.rows import Candidate, Refusal
from airflow_provider_omnichat.campaign.send_window import Never, SendWindow, Shut
from airflow_provider_omnichat.campaign.time_zones import checked_zone, clock


class WindowRule:
    """
    Holds back whoever is outside the window where they live.

    The time zone is that of the row's own column if it has one there, else that of the number; a number that may be in
    several zones must be inside in all of them. One whose zone nobody knows takes *default_zone*; without that, and
    where the zones are never inside together, the row is invalid, because it could never be sent.

    :param window: hours and days.
    :param zone_column: the field that holds an IANA name such as ``Europe/Zurich``; None for none.
    :param default_zone: of numbers whose zone cannot be told; None for none.
    :param refuses: False for a preview: whoever would have to wait passes, and until when is in ``later``.
    :param now: gives the time.
    """

    def __init__(
        self,
        window: SendWindow,
        *,
        zone_column: str | None = None,
        default_zone: str | None = None,
        refuses: bool = True,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.opens_at: datetime | None = None
        """When the first of those who were held back can be written to."""
        self._window = window
        self._zone_column = zone_column
        self._default = (checked_zone(default_zone),) if default_zone else ()
        self._refuses = refuses
        self._now = now

    def check(self, candidate: Candidate, fields: Mapping[str, Any]) -> Candidate | Refusal:
        """See :class:`~airflow_provider_omnichat.campaign.batch_gate.Rule`."""
        zones = self._zones(candidate, fields)
        state = self._window.at(zones, self._now())
        if isinstance(state, Never):
            raise InvalidInviteError(
                f"the number may be in {len(zones)} time zones, which are never inside send_window together; give a"
                " wider window, or the person's own zone in time_zone_column",
                self._zone_column or "to",
            )
        if isinstance(state, Shut):
            self.opens_at = min(self.opens_at or state.opens_at, state.opens_at)
            until = _local(state.opens_at, zones)
            if not self._refuses:
                return candidate._replace(later=until)
            return Refusal(Outcome.HELD, f"outside the send window until {until}")
        return candidate if state.closes_at is None else candidate._replace(closes_at=state.closes_at.timestamp())

    def _zones(self, candidate: Candidate, fields: Mapping[str, Any]) -> tuple[str, ...]:
        own = value_in(fields, self._zone_column)
        if own is not None:
            return (checked_zone(own),)
        zones = zones_of(candidate.invite.to) or self._default
        if not zones:
            raise InvalidInviteError(
                "its time zone cannot be told from the number, so that send_window cannot be kept; give"
                " default_time_zone, or the person's own zone in time_zone_column",
                "to",
            )
        return zones


def _local(moment: datetime, zones: tuple[str, ...]) -> str:
    if len(zones) > 1:  # whose clocks may differ
        return f"{moment:%Y-%m-%d %H:%M} UTC ({len(zones)} time zones)"
    return f"{moment.astimezone(clock(zones[0])):%Y-%m-%d %H:%M} ({zones[0]})"
