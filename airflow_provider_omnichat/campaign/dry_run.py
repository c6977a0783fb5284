"""A batch without the sending: what it would do, for the person who has to approve it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.batch_gate import BatchGate
from airflow_provider_omnichat.campaign.preview import Preview
from airflow_provider_omnichat.campaign.report import Tally
from airflow_provider_omnichat.campaign.row_sources import BrokenRow
from airflow_provider_omnichat.campaign.rows import Candidate, Result, Row


def preview_of(gate: BatchGate, rows: Iterator[Row | BrokenRow], campaign: str) -> dict[str, Any]:
    """
    Read the list, check each row and send nothing: no client is made and no ledger is touched.

    :param gate: the one with which the batch would be sent.
    :param rows: of the list.
    :param campaign: the campaign's name.
    :return: the manifest, with ``dry_run`` and ``preview``. What would be sent counts as ``not_sent``.
    """
    tally, preview = Tally(), Preview()
    for row in rows:
        checked = gate.check(row)
        preview.add(checked)
        tally.add(_unsent(checked) if isinstance(checked, Candidate) else checked)
    return {**tally.manifest(campaign, None), "dry_run": True, "preview": preview.to_json()}


def _unsent(candidate: Candidate) -> Result:
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    return Result(candidate.position, candidate.key, candidate.invite.to, Outcome.NOT_SENT, at, error="dry run")
