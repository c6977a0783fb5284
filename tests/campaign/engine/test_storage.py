"""The ledger agrees with the rows, wherever a kill came."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.engine.patience import Patience
from airflow_provider_omnichat.campaign.engine.plan import Records, Rules
from airflow_provider_omnichat.campaign.engine.report import CampaignReport
from airflow_provider_omnichat.campaign.engine.storage import Storage
from airflow_provider_omnichat.campaign.ledger.frequency_cap import FrequencyCap
from airflow_provider_omnichat.campaign.ledger.interface import Settlement
from airflow_provider_omnichat.campaign.model.place import NoPlace
from airflow_provider_omnichat.campaign.results.tally import Tally
from tests.support.ledger_homes import LATE, NUMBERS, OPEN, Home, claims, leave_doubts
from tests.support.planned_campaigns import plan

DECIDED = {LATE: Outcome.ACCEPTED, OPEN: Outcome.REJECTED}


class Rows(NoPlace):
    """What earlier tries have written of *decided*."""

    def __init__(self, decided: Mapping[str, Outcome]) -> None:
        self._decided = decided

    def earlier(self) -> Mapping[str, Outcome]:
        return {claim.recipient: self._decided[claim.identity] for claim in claims(list(self._decided))}


@pytest.fixture(params=["sql", "journal"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    return Home(request.param, tmp_path)


def storage_of(home: Home, decided: Mapping[str, Outcome], cap: FrequencyCap | None = None) -> Storage:
    planned = plan(records=Records(home.ledger, Rows(decided)), rules=Rules(frequency_cap=cap))
    return Storage(planned, CampaignReport(None, 1, Tally()), Patience(0, lambda _: None, logging.getLogger()))


@pytest.mark.parametrize("is_looked_up", [False, True])
def test_what_only_the_rows_say_after_a_kill_is_recorded_in_the_ledger(home: Home, is_looked_up: bool):
    leave_doubts(home)
    storage = storage_of(home, DECIDED)
    both = claims([LATE, OPEN])
    if is_looked_up:  # a block of rows that earlier tries have decided
        storage.decided(both)
    else:
        storage.write([], {}, both, [])
    storage.close([])
    assert home.known([LATE, OPEN]) == DECIDED


def test_what_somebody_wrongly_settled_as_not_sent_is_not_sent_by_another_run(tmp_path: Path):
    home, both = Home("sql", tmp_path), claims([LATE, OPEN])
    leave_doubts(home)
    settlement = Settlement(was_sent=False, by="ann", why="portal", at=datetime.now(UTC) + timedelta(hours=2))
    assert home.ledger().settle(both, {each.recipient: settlement for each in both}) == {}
    storage_of(home, DECIDED).write([], {}, both, [])
    assert len(home.ledger("dag/another run/task").claim(both, {Outcome.NOT_SENT})) == 2


def test_what_the_rows_do_not_know_stays_in_doubt(home: Home):
    leave_doubts(home)
    storage = storage_of(home, {LATE: Outcome.ACCEPTED})
    storage.write([], {}, claims([LATE, OPEN, *NUMBERS[4:5]]), [])
    assert home.known([LATE, OPEN, NUMBERS[4]]) == {LATE: Outcome.ACCEPTED, OPEN: Outcome.UNKNOWN, NUMBERS[4]: None}


def test_another_run_hears_how_it_ended_and_not_that_it_is_in_doubt_whatever_the_cap(tmp_path: Path):
    home = Home("sql", tmp_path)
    leave_doubts(home)
    late, opened = claims([LATE, OPEN])
    home.ledger(campaign="another").claim([late, opened], set())
    storage_of(home, DECIDED, FrequencyCap(1, timedelta(days=1))).write([], {}, [late, opened], [])
    taken = home.ledger("dag/another run/task").claim([late, opened], {Outcome.NOT_SENT})
    assert (taken[late.recipient].outcome, taken[opened.recipient].outcome) == (Outcome.ACCEPTED, Outcome.REJECTED)
