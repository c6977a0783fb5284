"""When invites would go out, what they would cost, and why people are left out: in the words for people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow_provider_omnichat.api.omni import OmniInvite
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.model.rows import Candidate, Result, Wait
from airflow_provider_omnichat.campaign.preview.markdown import markdown_of
from airflow_provider_omnichat.campaign.preview.statistics import Preview
from tests.support.reasons import why


def candidate(position: int) -> Candidate:
    return Candidate(
        position, None, OmniInvite("41793026727", "Hello <link>", "<link>", "KEY", "FACEBOOK"), "", "41793026727"
    )


def left_out(position: int, reason: str | None, outcome: Outcome = Outcome.INVALID) -> Result:
    return Result(position, None, "41793026727", outcome, "", reason=why(reason) if reason else None)


def preview(*checked: Candidate | Result, **options: Any) -> Preview:
    made = Preview(**options)
    for each in checked:
        made.add(each)
    return made


def test_other_reasons_are_told_by_outcome():
    rows = [left_out(row, f"reason {chr(97 + row % 12)}") for row in range(30)]
    text = markdown_of(preview(*rows, left_out(31, "x", Outcome.SUPPRESSED), left_out(32, None, Outcome.DUPLICATE)))
    assert "| 4 | invalid | for other reasons |" in text
    assert "| 1 | suppressed | for other reasons |" in text
    assert "| 1 | duplicate | for other reasons |" in text


def test_when_is_sorted_by_one_clock_with_the_local_one_beside_it():
    waits = [
        Wait(datetime(2026, 7, 1, 13, tzinfo=UTC), "2026-07-01 09:00 (America/New_York)"),
        Wait(datetime(2026, 7, 1, 7, tzinfo=UTC), "2026-07-01 09:00 (Europe/Zurich)"),
        Wait(datetime(2026, 7, 1, 0, tzinfo=UTC), "2026-07-01 09:00 (Asia/Tokyo)"),
    ]
    text = markdown_of(preview(candidate(1), *[candidate(2)._replace(wait=wait) for wait in [*waits, waits[0]]]))
    when = text[text.index("### When") :].split("\n\n")[1].splitlines()
    assert when == [
        "| When (UTC) | On their clock | Invites |",
        "| --- | --- | --- |",
        "| at once |  | 1 |",
        "| from 2026-07-01 00:00 | 2026-07-01 09:00 (Asia/Tokyo) | 1 |",
        "| from 2026-07-01 07:00 | 2026-07-01 09:00 (Europe/Zurich) | 1 |",
        "| from 2026-07-01 13:00 | 2026-07-01 09:00 (America/New\\_York) | 2 |",
    ]


def test_a_cost_has_its_currency():
    made = preview(candidate(1), candidate(2), price_per_segment=0.05, currency="EUR")
    assert "together about **0.10 EUR** at 0.05 EUR each" in markdown_of(made)
    assert (made.to_json()["cost"], made.to_json()["currency"]) == (0.1, "EUR")
    assert "a\\|b" in markdown_of(preview(candidate(1), price_per_segment=1, currency="a|b"))
