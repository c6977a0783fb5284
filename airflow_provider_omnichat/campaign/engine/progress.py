"""How far a campaign is: lines in the log, and snapshots for pages that show it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Protocol

from airflow_provider_omnichat.api.models import InviteAnswer
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason
from airflow_provider_omnichat.campaign.engine.report import CampaignReport
from airflow_provider_omnichat.campaign.model.rows import Result
from airflow_provider_omnichat.campaign.sending.sender import Sender

_SAMPLE_EVERY_SECONDS = 1.0
_PUBLISH_EVERY_SECONDS = 3.0
_MOST_SAMPLES = 120


class Log(Protocol):
    """The methods used of a logger."""

    def info(self, message: str, /, *args: object) -> object:
        """Log a line."""

    def warning(self, message: str, /, *args: object) -> object:
        """Log a line that somebody should read."""


Publish = Callable[[dict[str, Any]], None]
"""Takes the return value of :meth:`Progress.snapshot`. It may block, and it must not raise."""


class Timeline:
    """Totals at regular moments; their distance doubles when there are too many, so a long campaign needs no more."""

    def __init__(self, *names: str) -> None:
        self._names = names
        self._samples: list[tuple[float, tuple[int, ...]]] = []
        self._every_seconds = 1.0

    def add(self, seconds: float, *totals: int) -> None:
        """Keep the totals of a moment, unless the last ones are too close."""
        if self._samples and seconds - self._samples[-1][0] < self._every_seconds * 0.9:
            return
        self._samples.append((seconds, totals))
        if len(self._samples) >= _MOST_SAMPLES:  # the current totals are one more
            self._samples = self._samples[::2]
            self._every_seconds *= 2

    def to_json(self, seconds: float, *totals: int) -> dict[str, list[Any]]:
        """Return ``seconds`` and each of the totals as lists of equal length, the current ones last."""
        # The rate between two moments that are too close would be noise.
        until = seconds - self._every_seconds * 0.9
        samples = [*(sample for sample in self._samples if sample[0] < until), (seconds, totals)]
        columns = zip(*(values for _, values in samples), strict=True)
        return {
            "seconds": [round(at, 1) for at, _ in samples],
            **{name: list(column) for name, column in zip(self._names, columns, strict=True)},
        }


class Progress:
    """Follows one campaign."""

    def __init__(self, report: CampaignReport, rate_limit: float | None = None) -> None:
        self._report = report
        self._rate_limit = rate_limit
        self._timeline = Timeline("accepted", "rejected", "unknown", "refused_for_now")
        self._began = monotonic()
        self._sender: Sender | None = None

    async def follow(self, sender: Sender, log: Log, log_every: float, publish: Publish | None) -> None:
        """Log every *log_every* seconds and publish from another thread, until cancelled."""
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

    def snapshot(self, *, is_over: bool = False) -> dict[str, Any]:
        """Return the current state; see :func:`snapshot`."""
        timeline = self._timeline.to_json(monotonic() - self._began, *self._totals())
        refusals, limit = self._refusals(), self._rate_limit
        return snapshot(self._report, refusals=refusals, rate_limit=limit, timeline=timeline, is_over=is_over)

    def _totals(self) -> tuple[int, ...]:
        tally = self._report.tally
        return (tally.sent_this_try, tally.counts[Outcome.REJECTED], tally.counts[Outcome.UNKNOWN], self._refusals())

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


def snapshot(
    report: CampaignReport,
    *,
    refusals: int = 0,
    rate_limit: float | None = None,
    timeline: Mapping[str, Sequence[float]] | None = None,
    is_over: bool = False,
) -> dict[str, Any]:
    """
    Return a campaign's state as plain data.

    ``rows`` have ended, of ``total`` where that is known; ``counts`` are by outcome and ``reasons`` by reason. If the
    last one does not say that it ``is_over``, the process was killed.
    """
    tally = report.tally
    return {
        "is_over": is_over,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "started_at": tally.started_at.isoformat(timespec="seconds"),
        "rows": tally.rows,
        "total": report.read if report.is_complete else report.total,
        "counts": {str(outcome): count for outcome, count in tally.counts.items()},
        "reasons": tally.reasons,
        "sent_this_try": tally.sent_this_try,
        "segments": tally.segments,
        "refused_for_now": refusals,
        "rate_limit": rate_limit,
        "stop_reason": report.stop_reason or (str(report.failure) if report.failure else None),
        "opens_at": report.opens_at.isoformat(timespec="seconds") if report.opens_at else None,
        "timeline": timeline or {},
    }


def snapshot_of_one(
    outcome: Outcome, reason: Reason | None, answer: InviteAnswer | None, *, is_sent_now: bool
) -> dict[str, Any]:
    """Return the same for a single invite; *is_sent_now*: this try sent it, and the vendor accepted it."""
    status = answer.status if answer else None
    result = Result(
        position=1,
        key=None,
        to="",
        outcome=outcome,
        at="",
        status_name=status.name if status else None,
        message_count=answer.message_count if answer else None,
        reason=reason,
    )
    report = CampaignReport(total=1)
    report.tally.add(result, is_sent_now)
    return snapshot(report, is_over=True)
