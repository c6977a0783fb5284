"""What is wrong with an SQLite file is told as that, for each of the three that use one: ledger, results, query."""

from __future__ import annotations

import functools
import json
import os
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.ledger.interface import CERTAINLY_NOT_SENT, Claim, LedgerError
from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from airflow_provider_omnichat.campaign.model.rows import Result
from airflow_provider_omnichat.campaign.results.table import ResultTable, ResultTableError
from airflow_provider_omnichat.campaign.sql import session as sql_database
from airflow_provider_omnichat.hooks.databases import ledger_database, result_database
from airflow_provider_omnichat.hooks.sql_rows import SqlQueryError, rows_of_query
from tests.support.patience import PATIENCE_SECONDS

CANNOT_OPEN = r"SQLITE_CANTOPEN\); nothing .*The SQLite file cannot be opened: see that .* not of a directory, that its"


def claim_in(conn_id: str) -> None:
    with closing(SqlLedger(ledger_database(conn_id), "c", "me")) as ledger:
        ledger.claim([Claim("recipient", "41790000000")], CERTAINLY_NOT_SENT)


def write_results(conn_id: str) -> None:
    table = ResultTable(result_database(conn_id), "results", batch="b", try_number=1, recipient_of=lambda to: "0" * 32)
    try:
        table.earlier()
        table.write([(None, Result(1, None, "41790000000", Outcome.INVALID, "2026-01-01T00:00:00+00:00"))])
    finally:
        table.close()


def query(conn_id: str) -> None:
    list(rows_of_query(conn_id, "SELECT 1 AS a FROM sqlite_master"))


USES: dict[str, tuple[Callable[[str], None], type[OmnichatError]]] = {
    "ledger": (claim_in, LedgerError),
    "results": (write_results, ResultTableError),
    "query": (query, SqlQueryError),
}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_database, "CONFLICT_SECONDS", 0.3)


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    def define(path: Path | str, **extra: Any) -> str:
        fields = {"conn_type": "sqlite", "host": str(path), "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_CRM", json.dumps(fields))
        return "crm"

    return define


@pytest.fixture(params=USES)
def use(request: pytest.FixtureRequest) -> Callable[..., str]:
    """Use a connection, and give the error."""
    do, error = USES[request.param]

    def fail(conn_id: str) -> str:
        with pytest.raises(error) as raised:
            do(conn_id)
        assert raised.value.__context__ is raised.value.__cause__ is None
        assert "crm'" in str(raised.value) or "connection crm " in str(raised.value)
        return str(raised.value)

    return fail


def assert_says(text: str, pattern: str) -> None:
    assert re.search(pattern, text), text


def test_a_directory_that_is_not_there(connected, use, tmp_path):
    text = use(connected(tmp_path / "missing" / "crm.db"))
    assert_says(text, CANNOT_OPEN)
    assert "rights to" not in text
    assert str(tmp_path) not in text


def test_a_directory_in_place_of_a_file(connected, use, tmp_path):
    assert_says(use(connected(tmp_path)), CANNOT_OPEN)


def test_a_file_in_place_of_its_directory(connected, use, tmp_path):
    (tmp_path / "file").write_text("")
    assert_says(use(connected(tmp_path / "file" / "crm.db")), CANNOT_OPEN)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Be a user who may not read everything, for root may."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_that_may_not_be_opened(connected, use, tmp_path):
    path = tmp_path / "crm.db"
    path.write_text("")
    path.chmod(0)
    use(connected(tmp_path / "missing" / "crm.db"))  # what is imported on the way may be for root alone
    with unprivileged():
        assert_says(use(connected(path)), CANNOT_OPEN)


@pytest.mark.parametrize("text", ["id,phone\n1,2\n" * 100, "not a database" * 10])
def test_a_file_that_is_no_database(connected, use, tmp_path, text):
    (tmp_path / "crm.csv").write_text(text)
    assert_says(
        use(connected(tmp_path / "crm.csv")), r"SQLITE_NOTADB\); nothing .*The file is not an SQLite database, or is"
    )


def test_a_damaged_file(connected, use, tmp_path):
    path = tmp_path / "crm.db"
    with closing(sqlite3.connect(path)) as made:
        made.execute("CREATE TABLE a (b)")
        made.commit()
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + b"\xff" * (len(whole) - 100))
    assert_says(use(connected(path)), r"SQLITE_CORRUPT\); nothing .*The SQLite file is damaged: ")


@pytest.mark.parametrize("name", ["ledger", "results"])
@pytest.mark.parametrize("made", [True, False])
def test_a_file_that_may_only_be_read(connected, tmp_path, name, made):
    path = tmp_path / "crm.db"
    do, error = USES[name]
    if made:
        do(connected(path))
    else:
        path.write_text("")
    with pytest.raises(
        error, match=r"crm.*SQLITE_READONLY\); nothing more is sent\. The SQLite file may only be read: "
    ):
        do(connected(path, mode="ro"))
    query(connected(path, mode="ro"))


class CountsWaits(sqlite3.Connection):
    """Waits for a lock for a moment, and counts how often that was not enough."""

    waits = 0

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **{**options, "timeout": 0.3})

    def cursor(self, *_: Any) -> sqlite3.Cursor:  # type: ignore[override]
        return super().cursor(_CountsWaits)


class _CountsWaits(sqlite3.Cursor):
    def execute(self, *given: Any) -> Any:
        try:
            return super().execute(*given)
        except sqlite3.OperationalError as error:
            CountsWaits.waits += error.sqlite_errorcode == sqlite3.SQLITE_BUSY
            raise


def test_a_file_that_stays_locked(connected, use, tmp_path, monkeypatch):
    monkeypatch.setattr(CountsWaits, "waits", 0)
    path = tmp_path / "crm.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE a (b)")
        other.execute("BEGIN EXCLUSIVE")
        monkeypatch.setattr(sqlite3, "connect", functools.partial(sqlite3.connect, factory=CountsWaits))
        text = use(connected(path))
        assert_says(text, r"SQLITE_BUSY\); nothing .*Another process keeps the SQLite file locked: see which")
        assert CountsWaits.waits == 1, "it is waited for once, and not for each statement"


def test_a_lock_that_is_let_go_is_waited_for(connected, tmp_path, monkeypatch):
    monkeypatch.setattr(sql_database, "CONFLICT_SECONDS", PATIENCE_SECONDS)
    path = tmp_path / "crm.db"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE a (b)")
    other.execute("BEGIN EXCLUSIVE")
    release = threading.Timer(0.5, lambda: other.execute("ROLLBACK"))
    release.start()
    claim_in(connected(path))
    release.join()
    other.close()


@pytest.mark.parametrize("name", ["ledger", "results"])
@pytest.mark.parametrize("mode", ["WAL", "PERSIST"])
@pytest.mark.parametrize("file", ["crm.db", "über crm.db"])
@pytest.mark.parametrize("extra", [{}, {"mode": "rwc"}])
def test_a_new_file_with_whole_numbers_is_for_its_owner_only_and_so_are_its_journals(
    connected, tmp_path, name, mode, file, extra
):
    path = tmp_path / file
    before = os.umask(0o022)
    try:
        USES[name][0](connected(path, **extra))
        with closing(sqlite3.connect(path)) as open_meanwhile:
            open_meanwhile.execute(f"PRAGMA journal_mode = {mode}").fetchall()
            open_meanwhile.execute("CREATE TABLE a (b)")
            open_meanwhile.commit()
            found = {each.name: each.stat().st_mode & 0o777 for each in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert len(found) == {"WAL": 3, "PERSIST": 2}[mode]
    assert set(found.values()) == {0o600}


def test_rights_that_somebody_has_given_stay(connected, tmp_path):
    path = tmp_path / "crm.db"
    path.touch()
    path.chmod(0o660)
    claim_in(connected(path))
    assert path.stat().st_mode & 0o777 == 0o660


@pytest.mark.parametrize(("host", "extra"), [(":memory:", {}), ("", {}), ("crm.db", {"mode": "rw"})])
def test_no_file_is_made_where_none_was_asked_for(connected, tmp_path, monkeypatch, host, extra):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LedgerError):
        claim_in(connected(host, **extra))
    assert list(tmp_path.iterdir()) == []
