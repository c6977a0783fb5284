"""From a query to invites: the real operator, Airflow's task runner, real databases and a real server."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.api.aio import AsyncOmnichatClient
from airflow_provider_omnichat.hooks.sql_rows import SqlQueryError
from airflow_provider_omnichat.transfers.sql_to_omnichat import SqlToOmnichatInviteOperator
from tests.support.airflow_harness import AIRFLOW, HAS_STATE_STORE, START, TaskRun, run_task
from tests.support.sql_connections import CONN_ID, Database, connected
from tests.support.tries import Plan, starter

MESSAGE = "Hello {first_name}, follow us at <link>"

needs_store = pytest.mark.skipif(not HAS_STATE_STORE, reason="Airflow has a task state store from 3.3 on")
needs_runner = pytest.mark.skipif(AIRFLOW < (3, 0), reason="Airflow 2 has no task runner of its own")


def number(index: int) -> str:
    return f"4179{2_000_000 + index}"


def people(count: int) -> list[tuple[str, str, str]]:
    return [(f"c-{i:05}", f"+{number(i)}", f"P{i}") for i in range(count)]


def invites(sql: str = "SELECT id, mobile, first_name FROM people ORDER BY id", **given: Any) -> Any:
    fields = {
        "task_id": "invite",
        "conn_id": CONN_ID,
        "message": MESSAGE,
        "to_column": "mobile",
        "key_column": "id",
        "retry_budget": 1.0,
        "concurrency": 4,
        "ledger_patience": 0,
        **given,
    }
    return SqlToOmnichatInviteOperator(sql=sql, **fields)


def counts(run: TaskRun) -> dict[str, int]:
    manifest = run.xcom["return_value"]
    assert sum(manifest["counts"].values()) == manifest["rows"]
    return {outcome: count for outcome, count in manifest["counts"].items() if count}


@pytest.fixture
def sqlite(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    made = connected("sqlite3", request, tmp_path, monkeypatch)
    made.fill("people", "id mobile first_name", people(3))
    return made


@pytest.fixture
def two(sqlite: Database, at_sandbox: Any) -> Database:
    return sqlite


def test_each_row_of_a_query_is_sent_once(database, at_sandbox):
    database.fill("people", "id mobile first_name", people(250))
    run = run_task(invites())
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 250}
    assert sorted(sms.to for sms in at_sandbox.accepted) == [number(i) for i in range(250)]
    assert {sms.message for sms in at_sandbox.accepted} == {f"Hello P{i}, follow us at <link>" for i in range(250)}


def test_a_row_without_a_number_is_invalid_and_the_others_are_sent(two):
    two.fill("people", "id mobile first_name", [("c-1", f"+{number(1)}", "A"), ("c-2", None, "B"), ("c-3", "x", None)])
    run = run_task(invites())
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 1, "invalid": 2}


def test_parameters_are_templated_and_go_to_the_driver(two, at_sandbox):
    run = run_task(invites("SELECT * FROM people WHERE id = ?", parameters=["c-{{ '%05d' % 1 }}"]))
    assert run.succeeded, run.error
    run = run_task(invites("SELECT * FROM people WHERE id = :id", parameters={"id": "c-{{ '%05d' % 2 }}"}))
    assert run.succeeded, run.error
    assert [sms.to for sms in at_sandbox.accepted] == [number(1), number(2)]


def test_the_query_and_the_connection_are_templated(two, at_sandbox):
    task = invites("SELECT * FROM {{ 'people' }}", conn_id="{{ 'ware' }}house")
    assert run_task(task).succeeded
    assert at_sandbox.totals.accepted == 3


def test_a_query_can_stand_in_a_file(two, at_sandbox, tmp_path):
    from airflow.providers.common.compat.sdk import DAG

    (tmp_path / "who.sql").write_text("SELECT * FROM people\nWHERE id = '{{ 'c-00001' }}'; -- one\n")
    with DAG("from_file", schedule=None, start_date=START, template_searchpath=str(tmp_path)):
        task = invites("who.sql")
    task.resolve_template_files()  # as Airflow does when it has read the DAG's file
    run = run_task(task)
    assert run.succeeded, run.error
    assert [sms.to for sms in at_sandbox.accepted] == [number(1)]


@needs_runner
def test_nothing_private_is_shown_in_the_rendered_template(two, at_sandbox):
    sql = f"SELECT * FROM people WHERE mobile = '+{number(1)}' OR (mobile = ? AND id > '2026-11-23 09:00:00')"
    run = run_task(invites(sql, parameters=[f"+{number(2)}"]))
    assert run.succeeded, run.error
    assert at_sandbox.totals.accepted == 2
    shown = json.dumps(run.rendered, default=str)
    assert number(1) not in shown
    assert number(2) not in shown
    assert MESSAGE not in shown
    assert run.rendered["sql"].endswith("AND id > '2026-11-23 09:00:00')"), "dates are told"
    assert "mobile = '+4179****01'" in run.rendered["sql"]
    assert "invites" not in run.rendered


# columns


def test_a_rows_own_text_comes_from_its_column_and_is_not_evaluated(two, at_sandbox):
    two.fill("people", "id mobile note", [("1", number(1), "{id} <link>"), ("2", number(2), None)])
    run = run_task(invites("SELECT * FROM people", message="Hi {id} <link>", message_column="note"))
    assert run.succeeded, run.error
    assert {sms.to: sms.message for sms in at_sandbox.accepted} == {
        number(1): "{id} <link>",
        number(2): "Hi 2 <link>",
    }


def test_without_a_template_the_column_alone_is_the_text(two, at_sandbox):
    two.fill("people", "id mobile note", [("1", number(1), "A <link>"), ("2", number(2), None)])
    run = run_task(invites("SELECT * FROM people", message=None, message_column="note"))
    assert counts(run) == {"accepted": 1, "invalid": 1}


def test_columns_message_and_link_placeholder_are_the_rows_own(two, at_sandbox):
    two.fill("people", "id mobile message link_placeholder", [("1", number(1), "Go to URL", "URL")])
    assert run_task(invites("SELECT * FROM people", message=None)).succeeded
    assert [sms.message for sms in at_sandbox.accepted] == ["Go to URL"]


def test_capitals_are_those_of_the_database(two, at_sandbox):
    run = run_task(invites('SELECT id AS "ID", mobile AS "MOBILE", first_name AS "FIRST_NAME" FROM people'))
    assert run.succeeded, run.error
    assert "Hello P1, follow us at <link>" in {sms.message for sms in at_sandbox.accepted}


@pytest.mark.parametrize(
    ("given", "column"),
    [
        ({"to_column": "phone"}, "phone"),
        ({"key_column": "customer"}, "customer"),
        ({"message": "Hi {last_name} <link>"}, "last_name"),
        ({"message_column": "note"}, "note"),
    ],
)
@pytest.mark.parametrize("rows", [3, 0])
def test_a_missing_column_is_told_of_before_anything_is_sent(two, at_sandbox, given, column, rows):
    two.fill("people", "id mobile first_name", people(rows))
    run = run_task(invites(**given), retries=3)
    assert run.state == "failed", "no retry mends it"
    assert f"Nothing was sent. The query gives no column '{column}'; its columns are id, mobile, first_name" in str(
        run.error
    )
    assert at_sandbox.totals.requests == 0


# failures


@pytest.mark.parametrize(("on_empty", "state"), [("skip", "skipped"), ("succeed", "success"), ("fail", "failed")])
@needs_runner
def test_an_empty_result_is_an_empty_list(two, on_empty, state):
    assert run_task(invites("SELECT * FROM people WHERE 1 = 0", on_empty=on_empty)).state == state


@needs_runner
def test_a_failing_database_is_retried_and_nothing_was_sent(two, at_sandbox):
    run = run_task(invites("SELECT * FROM not_there"), retries=3)
    assert run.state == "up_for_retry"
    assert isinstance(run.error, SqlQueryError)
    assert "Connection 'warehouse' cannot be queried (OperationalError SQLITE_ERROR); nothing was sent" in str(
        run.error
    )
    assert at_sandbox.totals.requests == 0


def test_an_error_in_the_middle_of_the_result_sends_nothing(request, tmp_path, monkeypatch, at_sandbox):
    connected("psycopg2", request, tmp_path, monkeypatch)
    run = run_task(
        invites(
            f"SELECT i AS id, {number(0)} + i AS mobile, 1 / (5000 - i) AS first_name FROM generate_series(1, 9000) i"
        )
    )
    assert isinstance(run.error, SqlQueryError)
    assert at_sandbox.totals.requests == 0


def test_two_statements_are_refused(two, at_sandbox):
    run = run_task(invites("SELECT * FROM people; SELECT 1"), retries=3)
    assert run.state == "failed"
    assert "Nothing was sent. sql must be one query, and has 2 statements" in str(run.error)


@needs_runner
def test_the_database_is_let_go_before_the_first_invite(request, tmp_path, monkeypatch, at_sandbox):
    database = connected("psycopg2", request, tmp_path, monkeypatch)
    database.fill("people", "id mobile first_name", people(50))
    open_then: list[int] = []
    send_once = AsyncOmnichatClient.send_once

    async def look(client: AsyncOmnichatClient, invite: Any) -> Any:
        if not open_then:
            (found,) = database.run("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'")
            open_then.append(found[0])
        return await send_once(client, invite)

    monkeypatch.setattr(AsyncOmnichatClient, "send_once", look)
    run = run_task(
        SqlToOmnichatInviteOperator(
            task_id="invite", sql="SELECT * FROM people", conn_id=CONN_ID, message="Hi <link>", to_column="mobile"
        )
    )
    assert run.succeeded, run.error
    assert open_then == [0]


@needs_store
def test_a_retry_runs_the_query_again_and_sends_only_what_was_not_sent(two, at_sandbox):
    two.fill("people", "id mobile first_name", people(40))
    store: dict[str, Any] = {}
    first = run_task(invites("SELECT * FROM people WHERE id < 'c-00020'"), store=store, retries=1)
    assert counts(first) == {"accepted": 20}
    second = run_task(invites(), store=store, try_number=2, retries=1)
    assert second.succeeded, second.error
    assert second.xcom["return_value"]["sent_this_try"] == 20
    assert at_sandbox.totals.accepted == 40


def test_a_dry_run_reads_the_query_and_sends_nothing(two, at_sandbox):
    run = run_task(invites(dry_run=True))
    assert run.succeeded, run.error
    assert run.xcom["return_value"]["rows"] == 3
    assert at_sandbox.totals.requests == 0


def test_progress_knows_how_many_rows_there_are(sqlite):
    with invites().row_source({}).open(reads_twice=False) as rows:
        assert (len(rows), sum(1 for _ in rows)) == (3, 3)


def test_it_takes_no_invites():
    with pytest.raises(TypeError, match="invites"):
        invites(invites=[])


# results


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
        def result_sink(self, *args: Any) -> Any:
            sink = super().result_sink(*args)
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
def test_killed_again_and_again_each_row_is_in_the_table_once(driver, ledger, request, tmp_path, monkeypatch, sandbox):
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
        "rate_limit": 400,
        "on_unknown": "resend",
        **ledger,
    }
    home = tmp_path / "task"
    home.mkdir()
    operator = "airflow_provider_omnichat.transfers.sql_to_omnichat:SqlToOmnichatInviteOperator"
    with starter(tmp_path / "airflow") as start:
        killed = 0
        for number_of_try in range(1, 4):
            before = sandbox.totals.requests
            running = start.start(Plan(str(home), given, environment, number_of_try, operator))
            while running.runs() and sandbox.totals.requests < before + 100:
                time.sleep(0.01)
            killed += running.kill()
        assert killed == 3
        ended = start.start(Plan(str(home), {**given, "rate_limit": None}, environment, 4, operator)).wait()
    assert ended["state"] == "success", ended
    found = results(database)
    assert len(found) == 600
    assert Counter(found.values()) == {
        outcome: count for outcome, count in ended["manifest"]["counts"].items() if count
    }
    assert set(found.values()) == {"accepted"}
