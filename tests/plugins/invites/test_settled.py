"""Rows of a place that still has them in doubt, after somebody settled them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_provider_omnichat.api.identity import recipient_key
from airflow_provider_omnichat.campaign.ledger.interface import Settlement
from airflow_provider_omnichat.campaign.ledger.task_state_doubts import HASH_DIGITS
from airflow_provider_omnichat.campaign.model.pages import Page, PageQuery, ShownRow
from airflow_provider_omnichat.campaign.model.place import UnwrittenPlace
from airflow_provider_omnichat.plugins.invites.rows import csv_lines
from airflow_provider_omnichat.plugins.invites.settled import SettledPlace

NUMBERS = [f"4179302000{digit}" for digit in range(4)]
AT = datetime(2026, 11, 1, 8, tzinfo=UTC)


class Rows(UnwrittenPlace):
    """Three in doubt and one accepted."""

    kind = "rows"
    location = "here"

    def page(self, query: PageQuery) -> Page:
        outcomes = ["unknown", "unknown", "unknown", "accepted"]
        rows = [
            ShownRow(f"C-{at}", at, number, outcome, reason="no answer")
            for at, (number, outcome) in enumerate(zip(NUMBERS, outcomes, strict=True), 1)
        ]
        return Page([row for row in rows if query.outcome in (None, row.outcome)], None)


@pytest.fixture
def place() -> SettledPlace:
    names = [recipient_key("welcome", number)[:HASH_DIGITS] for number in NUMBERS]
    settled = {
        names[0]: Settlement(True, "ann", "in the portal", AT),
        names[1]: Settlement(False, "bob", "not there", AT),
    }
    return SettledPlace(Rows(), "welcome", settled)


@pytest.mark.parametrize(
    ("outcome", "keys"),
    [(None, ["C-1", "C-2", "C-3", "C-4"]), ("unknown", ["C-3"]), ("accepted", ["C-1", "C-4"]), ("not_sent", ["C-2"])],
)
def test_a_filter_finds_rows_by_what_they_are_now(place: SettledPlace, outcome: str | None, keys: list[str]) -> None:
    assert [row.key for row in place.page(PageQuery(outcome=outcome)).rows] == keys


def test_a_row_says_who_settled_it_and_why(place: SettledPlace) -> None:
    row = place.page(PageQuery()).rows[0]
    assert (row.outcome, row.reason) == (
        "accepted",
        "settled by ann at 2026-11-01 08:00 UTC, in the portal. It was in doubt: no answer",
    )
    assert "".join(csv_lines(place, PageQuery())).count(",accepted,") == 2
