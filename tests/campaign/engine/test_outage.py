"""The ledger, or the place for results, goes away in the middle of a campaign: for a moment, or for good."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.campaign.engine.plan import Pace, Records
from airflow_provider_omnichat.campaign.engine.report import CampaignReport
from airflow_provider_omnichat.campaign.engine.send_campaign import send_campaign
from airflow_provider_omnichat.campaign.ledger.interface import LedgerError
from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from airflow_provider_omnichat.campaign.results import table as result_table
from airflow_provider_omnichat.campaign.results.files import ResultFiles, read_results
from airflow_provider_omnichat.campaign.results.table import ResultTable
from airflow_provider_omnichat.campaign.sending.pacer import Pacer
from airflow_provider_omnichat.campaign.sql.session import SqlDatabase
from airflow_provider_omnichat.sandbox.server import Sandbox
from tests.support.patience import PATIENCE_SECONDS
from tests.support.planned_campaigns import Listed, plan
from tests.support.result_rows import key_of
from tests.support.sql_spies import Spied

LOG = logging.getLogger(__name__)
NUMBERS = [f"+4179302{i:04d}" for i in range(300)]
CONCURRENCY = 8
A_MOMENT = 5
"""Attempts that fail: those of a second or two."""


class Line:
    """The way to a database or a disk, which is cut once some invites were sent: for some attempts, or for good."""

    def __init__(self) -> None:
        self.is_cut = False
        self.held: list[bool] = []
        """What the pacer was told."""
        self.seen_when_held = self.seen_at_end = 0
        self._sandbox: Sandbox | None = None
        self._refusals_left: float = 0

    def cut(self, sandbox: Sandbox, refusals: float) -> None:
        self._sandbox, self._refusals_left = sandbox, refusals

    def check(self, *_: object) -> None:
        if self._sandbox is not None and self._sandbox.requests_seen >= 60:
            self.is_cut = self._refusals_left > 0
        if self.is_cut:
            self._refusals_left -= 1
            self.seen_at_end = self._sandbox.requests_seen if self._sandbox is not None else 0
            raise ConnectionError("no way to it")

    def note_hold(self, is_held: bool) -> None:
        self.held.append(is_held)
        if is_held and self._sandbox is not None:
            self.seen_when_held = self._sandbox.requests_seen

    def connect(self, path: Path) -> Callable[[], Any]:
        def connect() -> Any:
            self.check()
            return Spied(sqlite3.connect(path, check_same_thread=False), self.check)

        return connect

    def assert_that_nothing_was_sent_meanwhile(self) -> None:
        assert self.held == [True, False]
        under_way = CONCURRENCY
        assert 60 <= self.seen_when_held <= self.seen_at_end <= self.seen_when_held + under_way
        assert self.seen_at_end < len(NUMBERS)


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Line:
    made, hold = Line(), Pacer.hold

    def note(pacer: Pacer, is_held: bool) -> None:
        hold(pacer, is_held)
        made.note_hold(is_held)

    monkeypatch.setattr(Pacer, "hold", note)
    return made


def ledger(line: Line, path: Path) -> Callable[[], SqlLedger]:
    database = SqlDatabase(line.connect(path), "sqlite", "?", "crm")
    return lambda: SqlLedger(database, "c", "dag/run/task")


def send(client: Any, records: Records) -> CampaignReport:
    of = plan(records=records, pace=Pace(rate_limit=100, concurrency=CONCURRENCY))
    report = send_campaign(of, Listed(*NUMBERS), client=client, log=LOG)
    assert report.interrupt is None, "the time-out of the test"
    return report


def outcomes(path: Path) -> dict[str | None, int]:
    with sqlite3.connect(path) as database:
        return dict(database.execute("SELECT outcome, count(*) FROM omnichat_invites GROUP BY outcome"))


def test_a_ledger_that_is_away_for_a_moment_costs_that_moment_and_nothing_else(sandbox, client, line, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    line.cut(sandbox, A_MOMENT)
    report = send(client, Records(ledger(line, tmp_path / "l.sqlite"), patience=PATIENCE_SECONDS))
    assert (report.failure, report.unwritten, report.missing) == (None, {}, 0)
    assert outcomes(tmp_path / "l.sqlite") == {"accepted": 300}
    assert len(sandbox.accepted) == sandbox.requests_seen == 300
    line.assert_that_nothing_was_sent_meanwhile()
    said = [record.getMessage() for record in caplog.records if record.name == __name__]
    assert sum("nothing is sent until it works" in text for text in said) == 1
    assert sum("are recorded again" in text for text in said) == 1


def test_a_ledger_that_stays_away_leaves_the_names_of_the_rows_whose_outcome_it_does_not_have(
    sandbox, client, line, tmp_path
):
    line.cut(sandbox, inf)
    report = send(client, Records(ledger(line, tmp_path / "l.sqlite"), patience=0.5))
    assert isinstance(report.failure, LedgerError)
    names = {name for names in report.unwritten.values() for name in names}
    found = outcomes(tmp_path / "l.sqlite")
    assert 0 < len(names) == found[None]
    with sqlite3.connect(tmp_path / "l.sqlite") as database:
        keys = {key for (key,) in database.execute("SELECT row_key FROM omnichat_invites WHERE outcome IS NULL")}
    assert {name.partition("(")[2].rstrip(")") for name in names} == keys
    assert sum(report.tally.counts.values()) == report.tally.rows


def test_a_ledger_that_is_away_from_the_start_is_an_error_at_once(sandbox, client, line, tmp_path):
    line.is_cut = True
    report = send(client, Records(ledger(line, tmp_path / "l.sqlite"), patience=86_400))
    assert isinstance(report.failure, LedgerError)
    assert sandbox.requests_seen == 0


def test_a_table_of_results_that_is_away_for_a_moment_has_each_row_once(sandbox, client, line, tmp_path, monkeypatch):
    monkeypatch.setattr(result_table, "monotonic", lambda: 0.0)  # writing takes no time: no row waits for others
    path = tmp_path / "results.sqlite"
    database = SqlDatabase(line.connect(path), "sqlite", "?", "warehouse")
    table = ResultTable(database, "invited", batch="b", try_number=1, recipient_of=key_of)
    line.cut(sandbox, A_MOMENT)
    report = send(client, Records(ledger(Line(), tmp_path / "l.sqlite"), table, patience=PATIENCE_SECONDS))
    assert (report.failure, report.missing) == (None, 0)
    line.assert_that_nothing_was_sent_meanwhile()
    with sqlite3.connect(path) as rows:
        assert rows.execute("SELECT count(*), count(DISTINCT list_row) FROM invited").fetchone() == (300, 300)


class Share:
    """A directory on a disk that can be away, as a network share is."""

    def __init__(self, path: Path, line: Line) -> None:
        self._path = path
        self._line = line
        self.protocol = "share"

    def __truediv__(self, name: str) -> Share:
        return Share(self._path / name, self._line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._path, name)

    def __str__(self) -> str:
        return str(self._path)

    def open(self, mode: str) -> Any:
        self._line.check()
        return self._path.open(mode)


def test_files_of_results_that_are_away_for_a_moment_have_each_row_once(sandbox, client, line, tmp_path):
    share = Share(tmp_path / "results", line)
    (tmp_path / "results").mkdir()
    files = ResultFiles(share, format="jsonl", try_number=1, recipient_of=key_of, key_column="id", part_rows=10)
    line.cut(sandbox, A_MOMENT)
    report = send(client, replace(Records(ledger(Line(), tmp_path / "l.sqlite"), files), patience=PATIENCE_SECONDS))
    assert (report.failure, report.missing) == (None, 0)
    line.assert_that_nothing_was_sent_meanwhile()
    assert sorted(row.position for row in read_results(tmp_path / "results")) == list(range(1, 301))
