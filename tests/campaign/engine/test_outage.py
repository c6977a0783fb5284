"""The ledger, or the place for results, goes away in the middle of a campaign: for a moment, or for good."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.campaign.engine.plan import Pace, Records
from airflow_provider_omnichat.campaign.engine.report import CampaignReport
from airflow_provider_omnichat.campaign.engine.send_campaign import send_campaign
from airflow_provider_omnichat.campaign.ledger.interface import LedgerError
from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from airflow_provider_omnichat.campaign.results.files import ResultFiles, read_results
from airflow_provider_omnichat.campaign.results.table import ResultTable
from airflow_provider_omnichat.campaign.sending.pacer import Pacer
from airflow_provider_omnichat.campaign.sql.session import SqlDatabase
from airflow_provider_omnichat.sandbox.server import Sandbox
from tests.support.planned_campaigns import Listed, plan
from tests.support.result_rows import key_of
from tests.support.sql_spies import Spied

LOG = logging.getLogger(__name__)
NUMBERS = [f"+4179302{i:04d}" for i in range(300)]


class Line:
    """The way to a database or a disk, which can be cut."""

    def __init__(self) -> None:
        self.is_cut = False
        self.cut_at = self.seen_at_end = 0

    def check(self, *_: object) -> None:
        if self.is_cut:
            raise ConnectionError("no way to it")

    def connect(self, path: Path) -> Callable[[], Any]:
        def connect() -> Any:
            self.check()
            return Spied(sqlite3.connect(path, check_same_thread=False), self.check)

        return connect

    def cut(self, sandbox: Sandbox, seconds: float | None) -> None:
        """Cut it once some invites were accepted, for some seconds or for good."""

        def cut() -> None:
            while sandbox.requests_seen < 60:
                time.sleep(0.005)
            self.is_cut = True
            if seconds is not None:
                time.sleep(seconds / 2)
                self.cut_at = sandbox.requests_seen
                time.sleep(seconds / 2)
                self.seen_at_end = sandbox.requests_seen
                self.is_cut = False

        threading.Thread(target=cut, daemon=True).start()


@pytest.fixture
def line() -> Line:
    return Line()


def ledger(line: Line, path: Path) -> Callable[[], SqlLedger]:
    database = SqlDatabase(line.connect(path), "sqlite", "?", "crm")
    return lambda: SqlLedger(database, "c", "dag/run/task")


def send(sandbox: Sandbox, client: Any, records: Records, **pace: Any) -> CampaignReport:
    of = plan(records=records, pace=Pace(**{"rate_limit": 150, "concurrency": 8, **pace}))
    return send_campaign(of, Listed(*NUMBERS), client=client, log=LOG)


def outcomes(path: Path) -> dict[str | None, int]:
    with sqlite3.connect(path) as database:
        return dict(database.execute("SELECT outcome, count(*) FROM omnichat_invites GROUP BY outcome"))


def test_a_ledger_that_is_away_for_a_moment_costs_that_moment_and_nothing_else(
    sandbox, client, line, tmp_path, caplog, monkeypatch
):
    caplog.set_level(logging.INFO)
    held: list[bool] = []
    hold = Pacer.hold

    def note(pacer: Pacer, is_held: bool) -> None:
        held.append(is_held)
        hold(pacer, is_held)

    monkeypatch.setattr(Pacer, "hold", note)
    line.cut(sandbox, 2.0)
    report = send(sandbox, client, Records(ledger(line, tmp_path / "l.sqlite"), patience=60))
    assert (report.failure, report.unwritten, report.missing) == (None, {}, 0)
    assert outcomes(tmp_path / "l.sqlite") == {"accepted": 300}
    assert len(sandbox.accepted) == sandbox.requests_seen == 300
    assert held == [True, False]
    assert 60 <= line.cut_at == line.seen_at_end < 300, "nothing is sent while it is away"
    said = [record.getMessage() for record in caplog.records if record.name == __name__]
    assert sum("nothing is sent meanwhile" in text for text in said) == 1
    assert sum("is recorded again" in text for text in said) == 1


def test_a_ledger_that_stays_away_leaves_the_names_of_the_rows_whose_outcome_it_does_not_have(
    sandbox, client, line, tmp_path
):
    line.cut(sandbox, None)
    report = send(sandbox, client, Records(ledger(line, tmp_path / "l.sqlite"), patience=0.5))
    assert isinstance(report.failure, LedgerError)
    names = {name for names in report.unwritten.values() for name in names}
    line.is_cut = False
    found = outcomes(tmp_path / "l.sqlite")
    assert 0 < len(names) == found[None]
    with sqlite3.connect(tmp_path / "l.sqlite") as database:
        keys = {key for (key,) in database.execute("SELECT row_key FROM omnichat_invites WHERE outcome IS NULL")}
    assert {name.partition("(")[2].rstrip(")") for name in names} == keys
    assert sum(report.tally.counts.values()) == report.tally.rows


def test_a_ledger_that_is_away_from_the_start_is_an_error_at_once(sandbox, client, line, tmp_path):
    line.is_cut = True
    began = time.monotonic()
    report = send(sandbox, client, Records(ledger(line, tmp_path / "l.sqlite"), patience=600))
    assert isinstance(report.failure, LedgerError)
    assert time.monotonic() - began < 60
    assert sandbox.requests_seen == 0


def test_a_table_of_results_that_is_away_for_a_moment_has_each_row_once(sandbox, client, line, tmp_path):
    path = tmp_path / "results.sqlite"
    database = SqlDatabase(line.connect(path), "sqlite", "?", "warehouse")
    table = ResultTable(database, "invited", batch="b", try_number=1, recipient_of=key_of)
    line.cut(sandbox, 2.0)
    report = send(sandbox, client, Records(ledger(Line(), tmp_path / "l.sqlite"), table, patience=60))
    assert (report.failure, report.missing) == (None, 0)
    assert 60 <= line.cut_at == line.seen_at_end < 300
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
    line.cut(sandbox, 2.0)
    report = send(sandbox, client, replace(Records(ledger(Line(), tmp_path / "l.sqlite"), files), patience=60))
    assert (report.failure, report.missing) == (None, 0)
    assert 60 <= line.cut_at == line.seen_at_end < 300
    assert sorted(row.position for row in read_results(tmp_path / "results")) == list(range(1, 301))
