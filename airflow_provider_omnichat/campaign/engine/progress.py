"""How far a campaign is: lines in the log, and snapshots for whoever shows them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.engine.report import CampaignReport
from airflow_provider_omnichat.campaign.engine.snapshot import snapshot
from airflow_provider_omnichat.campaign.engine.timeline import Timeline
from airflow_provider_omnichat.campaign.sending.sender import Sender

_SAMPLE_EVERY_SECONDS = 1.0
_PUBLISH_EVERY_SECONDS = 3.0


class Log(Protocol):
    """What is used of a logger."""

    def info(self, message: str, /, *args: object) -> object:
        """Log a line."""

    def warning(self, message: str, /, *args: object) -> object:
        """Log a line that somebody should read."""


Publish = Callable[[dict[str, Any]], None]
"""Takes what :meth:`Progress.snapshot` gives. It may block, and it must not raise."""


class Progress:
    """
    Follows one campaign.

    :param report: of the campaign.
    :param rate_limit: invites a second at most; None for no limit.
    """

    def __init__(self, report: CampaignReport, rate_limit: float | None = None) -> None:
        self._report = report
        self._rate_limit = rate_limit
        self._timeline = Timeline("accepted", "rejected", "unknown", "refused_for_now")
        self._began = monotonic()
        self._sender: Sender | None = None

    async def follow(self, sender: Sender, log: Log, log_every: float, publish: Publish | None) -> None:
        """
        Log and publish again and again, until it is cancelled.

        :param sender: of the campaign.
        :param log: to write to.
        :param log_every: seconds between two lines.
        :param publish: takes snapshots, in a thread of its own; None for nobody.
        """
        self._sender = sender
        logged = published = monotonic()
        self._timeline.add(logged - self._began, *self._totals())
        while True:
            await asyncio.sleep(min(_SAMPLE_EVERY_SECONDS, log_every))
            now = monotonic()
            self._timeline.add(now - self._began, *self._totals())
            if now - logged >= log_every:
                logged = now
                log.info("%s", _line(self._report, sender))
            if publish is not None and now - published >= _PUBLISH_EVERY_SECONDS:
                published = now
                await asyncio.to_thread(publish, self.snapshot())

    def snapshot(self) -> dict[str, Any]:
        """Give how the campaign stands; see :func:`~airflow_provider_omnichat.campaign.engine.snapshot.snapshot`."""
        timeline = self._timeline.to_json(monotonic() - self._began, *self._totals())
        return snapshot(self._report, refusals=self._refusals(), rate_limit=self._rate_limit, timeline=timeline)

    def _totals(self) -> tuple[int, ...]:
        tally = self._report.tally
        return (
            tally.sent_this_try,
            tally.counts[Outcome.REJECTED],
            tally.counts[Outcome.UNKNOWN],
            self._refusals(),
        )

    def _refusals(self) -> int:
        return self._sender.refusals if self._sender is not None else 0


def _line(report: CampaignReport, sender: Sender) -> str:
    seconds = max(monotonic() - sender.started, 0.001)
    counts, rows = report.tally.counts, report.tally.rows
    if report.total is None:
        done = f"{rows} rows done"
    else:
        left = f", about {(report.total - rows) * seconds / rows:.0f} s left" if rows else ""
        done = f"{rows} of {report.total} rows done{left}"
    return (
        f"{report.tally.sent_this_try} invites accepted, {sender.taken / seconds:.0f}/s,"
        f" {sender.refusals} refused for now, {counts[Outcome.REJECTED]} rejected,"
        f" {counts[Outcome.UNKNOWN]} in doubt, {done}"
    )
