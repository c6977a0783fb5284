"""What became of each row goes back to the database."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_omnichat.transfers.sql_to_omnichat import SqlToOmnichatInviteOperator
from tests.support.airflow_harness import run_task
from tests.support.airflow_versions import needs_runner, needs_store
from tests.support.batch_tasks import counts, number
from tests.support.queried_people import MESSAGE, invites, people
from tests.support.sql_connections import CONN_ID, Database, connected
from tests.support.tries import Plan, Starter, starter


def results(database: Database, table: str = "invited") -> dict[str, str]:
    """Outcome by key; each key once."""
    found = database.run(f"SELECT row_key, outcome FROM {table}")
    assert len(found) == len(dict(found))
    return dict(found)


@pytest.fixture
def filled(database: Database, at_sandbox: Any) -> Database:
    """A warehouse with 60 people and without results."""
    database.fill("people", "id mobile first_name", people(60))
    database.run("DROP TABLE IF EXISTS invited")
    return database


def test_results_go_back_to_the_warehouse_each_row_once(filled, at_sandbox):
    at_sandbox.set_faults(["rejected:0.05:52"], seed=3)
    run = run_task(invites(results_table="invited", max_rejected_ratio=1))
    assert run.succeeded, run.error
    manifest = run.xcom["return_value"]
    assert manifest["results"] == "table invited of connection warehouse"
    found = results(filled)
    assert len(found) == 60
    assert Counter(found.values()) == counts(run)
    (row,) = filled.run("SELECT batch, list_row, recipient, message_id FROM invited WHERE row_key = 'c-00007'")
    assert row[:3] == ("invites/run-1/invite", 8, number(7))
    assert row[3] in {sms.message_id for sms in at_sandbox.accepted} or found["c-00007"] == "rejected"


@needs_store
def test_a_retry_replaces_what_was_not_sent_and_leaves_the_rest(filled, at_sandbox):
    store: dict[str, Any] = {}
    at_sandbox.script(*["ok"] * 12, "rejected:12")  # no credit: every further invite would meet the same
    task: dict[str, Any] = {"results_table": "invited", "max_rejected_ratio": 1, "retries": 2, "concurrency": 1}
    first = run_task(invites(**task), store=store, retries=2)
    assert first.state == "up_for_retry"
    before = Counter(results(filled).values())
    assert before["accepted"] == 12
    assert before["not_sent"] > 40
    assert before == counts(first), "complete before the error is raised"
    second = run_task(invites(**task), store=store, try_number=2, retries=2)
    assert second.succeeded, second.error
    found = Counter(results(filled).values())
    assert sum(found.values()) == 60
    assert found == counts(second)
    assert not found["not_sent"]
    assert not any(count > 1 for count in Counter(sms.to for sms in at_sandbox.accepted).values())
    ((tries,),) = filled.run("SELECT COUNT(DISTINCT try_id) FROM invited")
    assert tries == 2, "what the first try has decided was not written again"


def test_results_can_go_to_another_connection(two, at_sandbox, tmp_path, monkeypatch):
    path = tmp_path / "mart.db"
    monkeypatch.setenv("AIRFLOW_CONN_MART", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    run = run_task(invites(results_table="{{ 'invited' }}", results_conn_id="{{ 'mart' }}"))
    assert run.succeeded, run.error
    assert run.xcom["return_value"]["results"] == "table invited of connection mart"
    assert len(results(Database("sqlite3", {"database": str(path)}))) == 3


def test_the_same_list_on_purpose_once_more_has_rows_of_its_own(two, at_sandbox):
    for key in ("", "again"):
        assert run_task(invites(results_table="invited", resend_key=key)).succeeded
    found = two.run("SELECT batch, COUNT(*) FROM invited GROUP BY batch ORDER BY batch")
    assert found == [("invites/run-1/invite", 3), ("invites/run-1/invite#again", 3)]


def test_rows_of_another_campaign_are_not_taken_for_those_of_this_one(two, at_sandbox, ledger):
    for name in ("spring", "summer", "spring"):
        assert run_task(invites(results_table="invited", campaign=name, **ledger)).succeeded
    found = two.run("SELECT batch, COUNT(*) FROM invited GROUP BY batch ORDER BY batch")
    assert found == [("invites/run-1/invite@spring", 3), ("invites/run-1/invite@summer", 3)]
    assert len(at_sandbox.accepted) == 6


def test_rows_that_cannot_be_sent_are_in_the_results_too(two):
    two.fill("people", "id mobile first_name", [("1", number(1), "A"), ("2", None, "B"), ("3", number(1), "C")])
    run = run_task(invites(results_table="invited"))
    assert run.succeeded, run.error
    assert results(two) == {"1": "accepted", "2": "invalid", "3": "duplicate"}


@needs_store
def test_results_that_cannot_be_written_stop_the_sending_and_what_was_sent_is_known(
    request, tmp_path, monkeypatch, at_sandbox
):
    database = connected("psycopg", request, tmp_path, monkeypatch)
    database.fill("people", "id mobile first_name", people(500))
    database.run("DROP TABLE IF EXISTS invited")
    store: dict[str, Any] = {}
    task: dict[str, Any] = {"results_table": "invited", "rate_limit": 100, "retries": 3}

    class Failing(SqlToOmnichatInviteOperator):
        def result_place(self, *args: Any) -> Any:
            sink = super().result_place(*args)
            sink.earlier()
            database.run("ALTER TABLE invited ADD CHECK (list_row < 40)")
            return sink

    run = run_task(_as(Failing, invites(**task)), store=store, retries=3)
    assert run.state == "up_for_retry"
    assert "The results table invited of connection warehouse cannot be written (CheckViolation 23514)" in str(
        run.error
    )
    assert "Sending was stopped" in str(run.error)
    sent = at_sandbox.totals.accepted
    assert 0 < sent < 500
    database.run("DROP TABLE invited")
    again = run_task(invites(**{**task, "rate_limit": None}), store=store, try_number=2, retries=3)
    assert again.succeeded, again.error
    assert again.xcom["return_value"]["sent_this_try"] == 500 - sent, "the ledger knew"
    assert Counter(results(database).values()) == {"accepted": 500}
    assert at_sandbox.totals.numbers_sent_twice == 0


def _as(kind: type[SqlToOmnichatInviteOperator], task: Any) -> Any:
    task.__class__ = kind
    return task


@pytest.mark.parametrize("name", ["results_table", "results_conn_id", "sql", "conn_id", "parameters"])
def test_an_argument_whose_template_gives_nothing_stops_everything(two, at_sandbox, name):
    run = run_task(invites(**{"results_table": "invited", name: "{{ params.get('no') or '' }}"}))
    assert run.state == "failed"
    assert f"Nothing was sent. {name}: was given and is empty now" in str(run.error)
    assert at_sandbox.requests_seen == 0


def test_a_results_table_that_cannot_be_made_is_told_of_and_nothing_is_sent(two, at_sandbox):
    run = run_task(invites(results_table="nowhere.invited"))
    assert "The results table nowhere.invited of connection warehouse cannot be" in str(run.error)
    assert at_sandbox.totals.requests == 0


def test_what_is_no_table_is_told_of_and_nothing_is_sent(two, at_sandbox):
    run = run_task(invites(results_table="x; DROP TABLE people"))
    assert "Nothing was sent. results_table must be table, schema.table" in str(run.error)
    assert at_sandbox.totals.requests == 0


def test_a_dry_run_makes_no_table(two):
    assert run_task(invites(results_table="invited", dry_run=True)).succeeded
    assert two.run("SELECT COUNT(*) FROM sqlite_master WHERE name = 'invited'") == [(0,)]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"results_table": "invited", "results_path": "/tmp/x"}, "not to both"),
        ({"results_conn_id": "mart"}, "results_conn_id needs results_table"),
    ],
)
def test_what_contradicts_itself_is_refused_when_the_dag_is_parsed(given, told):
    with pytest.raises(ValueError, match=told):
        invites(**given)


def test_bigquery_is_told_where_its_results_go(two, at_sandbox, monkeypatch):
    from airflow.providers.common.compat.sdk import BaseHook
    from airflow.providers.sqlite.hooks.sqlite import SqliteHook

    usual = BaseHook.get_connection
    made = type("Made", (), {"conn_type": "gcpbigquery", "get_hook": lambda self: SqliteHook()})()
    monkeypatch.setattr(BaseHook, "get_connection", staticmethod(lambda name: made if name == "big" else usual(name)))
    run = run_task(invites(results_table="invited", results_conn_id="big"))
    assert "Give results_path a bucket" in str(run.error)
    assert at_sandbox.totals.requests == 0


@pytest.fixture(scope="module")
def tries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starter]:
    """Airflow, loaded once for all that are killed here."""
    with starter(tmp_path_factory.mktemp("airflow")) as made:
        yield made


@pytest.mark.slow
@pytest.mark.parametrize(
    ("driver", "ledger"),
    [
        pytest.param("sqlite3", {}, marks=needs_store),
        pytest.param("psycopg2", {}, marks=needs_store),
        pytest.param(
            "psycopg2",
            {"campaign": "killed", "ledger_conn_id": CONN_ID, "ledger_table": "killed", "max_per_recipient": (1, "7d")},
            marks=needs_runner,
        ),
    ],
)
def test_killed_again_and_again_each_row_is_in_the_table_once(
    driver, ledger, request, tmp_path, monkeypatch, sandbox, tries
):
    """The task is killed with SIGKILL, in a process of its own, while rows are written; the last try ends."""
    database = connected(driver, request, tmp_path, monkeypatch)
    database.fill("people", "id mobile first_name", people(600))
    database.run("DROP TABLE IF EXISTS invited")
    environment = {
        "AIRFLOW_CONN_OMNICHAT_DEFAULT": sandbox.airflow_connection,
        "AIRFLOW_CONN_WAREHOUSE": os.environ["AIRFLOW_CONN_WAREHOUSE"],
    }
    given = {
        "sql": "SELECT id, mobile, first_name FROM people ORDER BY id",
        "conn_id": CONN_ID,
        "message": MESSAGE,
        "to_column": "mobile",
        "key_column": "id",
        "results_table": "invited",
        "rate_limit": 200,
        "on_unknown": "resend",
        **ledger,
    }
    home = tmp_path / "task"
    home.mkdir()
    operator = "airflow_provider_omnichat.transfers.sql_to_omnichat:SqlToOmnichatInviteOperator"
    killed = 0
    for number_of_try in range(1, 4):
        before = sandbox.totals.requests
        running = tries.start(Plan(str(home), given, environment, number_of_try, operator))
        while running.runs() and sandbox.totals.requests < before + 100:
            time.sleep(0.01)
        killed += running.kill()
    assert killed == 3
    ended = tries.start(Plan(str(home), {**given, "rate_limit": None}, environment, 4, operator)).wait()
    assert ended["state"] == "success", ended
    found = results(database)
    assert len(found) == 600
    assert Counter(found.values()) == {
        outcome: count for outcome, count in ended["manifest"]["counts"].items() if count
    }
    assert set(found.values()) == {"accepted"}
