"""The lines in the log that say how far a campaign is."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Protocol

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.engine.report import CampaignReport
from airflow_provider_omnichat.campaign.sending.sender import Sender


class Log(Protocol):
    """What is used of a logger."""

    def info(self, message: str, /, *args: object) -> object:
        """Log a line."""

    def warning(self, message: str, /, *args: object) -> object:
        """Log a line that somebody should read."""


async def log_progress(report: CampaignReport, sender: Sender, log: Log, every: float) -> None:
    """
    Log a line again and again, until it is cancelled.

    :param report: of the campaign.
    :param sender: of the campaign.
    :param log: to write to.
    :param every: seconds between two lines.
    """
    while True:
        await asyncio.sleep(every)
        log.info("%s", _progress(report, sender))


def _progress(report: CampaignReport, sender: Sender) -> str:
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
