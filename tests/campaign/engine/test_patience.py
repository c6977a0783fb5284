"""What is known is written again while the ledger or the place for results is away."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.engine.patience import Patience, PatientResults
from airflow_provider_omnichat.campaign.ledger.interface import LedgerError
from airflow_provider_omnichat.campaign.model.place import NoPlace
from airflow_provider_omnichat.campaign.model.rows import Result
from tests.support.patience import PATIENCE_SECONDS

LOG = logging.getLogger(__name__)
AWAY = LedgerError("The ledger is away", is_outage=True)
ROWS = [(None, Result(position, None, "41793026727", Outcome.ACCEPTED, "")) for position in (1, 2)]


class Flaky:
    """Works but for so many calls."""

    def __init__(self, fails: int, error: Exception = AWAY) -> None:
        self.fails = fails
        self.calls = 0
        self._error = error

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.fails:
            raise self._error
        return "done"


@pytest.fixture
def holds() -> list[bool]:
    return []


@pytest.fixture
def patience(holds: list[bool]) -> Callable[[float], Patience]:
    return lambda seconds: Patience(seconds, holds.append, LOG)


def test_a_call_is_made_again_until_it_works_and_nothing_is_sent_meanwhile(patience, holds, caplog):
    caplog.set_level(logging.INFO)
    flaky = Flaky(3)
    assert patience(PATIENCE_SECONDS).call(flaky) == "done"
    assert (flaky.calls, holds) == (4, [True, False])
    away, back = (record.getMessage() for record in caplog.records)
    assert away == ("The ledger is away. It is tried again for up to 600 seconds; nothing is sent until it works.")
    assert back.startswith("All outcomes are recorded again, after ")


def test_a_first_call_that_fails_is_an_error_at_once_whatever_else_has_worked(patience, holds):
    made, results = patience(86_400), Keeping(0)
    PatientResults(results, made).write(ROWS)
    failing = Keeping(1)
    with pytest.raises(LedgerError):
        PatientResults(failing, made).write(ROWS)
    assert (failing.written, holds) == ([], [])


def test_what_does_not_pass_by_itself_is_not_waited_for(patience, holds):
    flaky = Flaky(1, LedgerError("The user may not write"))
    with pytest.raises(LedgerError):
        patience(PATIENCE_SECONDS).call(flaky)
    assert (flaky.calls, holds) == (1, [])


def test_patience_ends_once_for_all_calls(patience, holds):
    made = patience(1)
    began = time.monotonic()
    with pytest.raises(LedgerError):
        made.call(Flaky(99))
    assert time.monotonic() - began >= 1
    last = Flaky(99)
    with pytest.raises(LedgerError):
        made.call(last)
    assert (last.calls, holds) == (1, [True])


def test_who_works_again_is_waited_for_again(patience, holds):
    made = patience(PATIENCE_SECONDS)
    made.call(Flaky(1))
    made.call(Flaky(1))
    assert holds == [True, False, True, False]


def test_a_stop_ends_the_wait(patience):
    made = patience(86_400)
    threading.Timer(0.3, made.end).start()
    with pytest.raises(LedgerError):
        made.call(Flaky(100_000))


class Keeping(NoPlace):
    """Keeps rows that it could not write, as real ones do."""

    def __init__(self, fails: int) -> None:
        self._flaky = Flaky(fails)
        self._kept: list[Any] = []
        self.written: list[Any] = []

    def fails(self, times: int) -> None:
        self._flaky = Flaky(times)

    def write(self, results: Any) -> None:
        self._kept += results
        self._flaky()
        self.written += self._kept
        self._kept = []


def test_rows_that_a_sink_keeps_are_not_given_to_it_again(patience):
    results = Keeping(0)
    patient = PatientResults(results, patience(PATIENCE_SECONDS))
    patient.write(ROWS[:1])
    results.fails(2)
    patient.write(ROWS[1:])
    assert results.written == ROWS
