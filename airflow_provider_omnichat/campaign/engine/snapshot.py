"""How a campaign stands at a moment, as plain data without personal ones: what those are given who show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from airflow_provider_omnichat.api.models import InviteAnswer
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason
from airflow_provider_omnichat.campaign.engine.report import CampaignReport
from airflow_provider_omnichat.campaign.model.rows import Result


def snapshot(
    report: CampaignReport,
    *,
    refusals: int = 0,
    rate_limit: float | None = None,
    timeline: Mapping[str, Sequence[float]] | None = None,
) -> dict[str, Any]:
    """
    Give how a campaign stands.

    ``rows`` have ended, of ``total`` where that is known; ``counts`` are by outcome and ``reasons`` by reason.

    :param report: of the campaign.
    :param refusals: requests that the vendor refused for now.
    :param rate_limit: invites a second at most; None for no limit.
    :param timeline: totals of this process at moments, in ``seconds`` since it began.
    """
    tally = report.tally
    return {
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
        "stop_reason": report.stop_reason,
        "timeline": timeline or {},
    }


def snapshot_of_one(
    outcome: Outcome, reason: Reason | None, answer: InviteAnswer | None, *, is_sent_now: bool
) -> dict[str, Any]:
    """
    Give the same of a single invite.

    :param outcome: how it ended.
    :param reason: why it was not accepted.
    :param answer: of the vendor.
    :param is_sent_now: whether this try sent it, and the vendor accepted.
    """
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
    return snapshot(report)
