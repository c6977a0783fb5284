"""From a query to invites: the real operator, Airflow's task runner, real databases and a real server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_omnichat.api.aio import AsyncOmnichatClient
from airflow_provider_omnichat.hooks.sql_rows import SqlQueryError
from airflow_provider_omnichat.transfers.sql_to_omnichat import SqlToOmnichatInviteOperator
from tests.support.airflow_harness import START, run_task
from tests.support.airflow_versions import needs_runner, needs_store
from tests.support.batch_tasks import counts, number
from tests.support.queried_people import MESSAGE, invites, people
from tests.support.sql_connections import CONN_ID, connected


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
    assert MESSAGE in shown, "the template, with nothing filled in"
    assert all(sms.message not in shown for sms in at_sandbox.accepted)
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
