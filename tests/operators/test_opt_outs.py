"""Who has opted out gets nothing, wherever the list of opt-outs comes from."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from tests.support.airflow_harness import run_task
from tests.support.batch_tasks import batch, counts, number, people, rows_in


def test_numbers_in_the_query_for_opt_outs_do_not_show(at_sandbox):
    query = {"conn_id": "crm", "sql": "SELECT phone FROM opt_outs WHERE phone <> '+41793026727'"}
    run = run_task(batch(people(3), suppression=query))
    assert "41793026727" not in str(run.rendered["suppression"])
    assert "opt_outs" in str(run.rendered["suppression"])


@pytest.mark.parametrize("kind", ["dicts", "csv", "query"])
def test_an_opt_out_of_another_country_is_read_with_the_country_of_its_row(at_sandbox, tmp_path, monkeypatch, kind):
    given: Any = [{"to": "06 12 34 56 78", "country": "FR"}]
    if kind == "csv":
        (tmp_path / "out.csv").write_text("to,country\n06 12 34 56 78,FR\n")
        given = str(tmp_path / "out.csv")
    if kind == "query":
        crm = {"conn_type": "sqlite", "host": str(tmp_path / "crm.sqlite")}
        monkeypatch.setenv("AIRFLOW_CONN_CRM", json.dumps(crm))
        given = {"conn_id": "crm", "sql": "SELECT '06 12 34 56 78' AS \"to\", 'FR' AS country"}
    invites = [{"to": "+33612345678", "name": "Zoe", "country": ""}, {"to": "+41612345678", "name": "Ida"}]
    run = run_task(batch(invites, suppression=given, region_column="country", default_region="CH"))
    assert run.succeeded, run.error
    assert [sms.to for sms in at_sandbox.accepted] == ["41612345678"]


@pytest.mark.parametrize("kind", ["list", "dicts", "csv", "jsonl"])
def test_whoever_opted_out_gets_nothing_and_the_row_says_so(at_sandbox, tmp_path, kind):
    numbers = [f"00{number(i)}" for i in range(3)]
    given: Any = numbers
    if kind == "dicts":
        given = [{"to": one, "why": "asked"} for one in numbers]
    if kind == "csv":
        (tmp_path / "out.csv").write_text("name,to\n" + "".join(f"x,{one}\n" for one in numbers))
        given = str(tmp_path / "out.csv")
    if kind == "jsonl":
        (tmp_path / "out.jsonl").write_text("".join(json.dumps({"phone": one}) + "\n" for one in numbers))
        given = str(tmp_path / "out.jsonl")
    run = run_task(batch(people(10), suppression=given, results_path=str(tmp_path / "results")))
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 7, "suppressed": 3}
    assert {row.error for row in rows_in(tmp_path / "results") if row.outcome == "suppressed"} == {
        "is on the opt-out list"
    }
    assert not {sms.to for sms in at_sandbox.accepted} & {number(i) for i in range(3)}


def test_the_opt_out_list_can_be_a_query(at_sandbox, tmp_path, monkeypatch):
    with closing(sqlite3.connect(tmp_path / "crm.sqlite")) as crm:
        crm.execute("CREATE TABLE opt_outs (phone TEXT, since TEXT)")
        crm.executemany("INSERT INTO opt_outs VALUES (?, '2026-01-01')", [(f"+{number(i)}",) for i in range(4)])
        crm.commit()
    monkeypatch.setenv("AIRFLOW_CONN_CRM", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "crm.sqlite")}))
    query = {"conn_id": "crm", "sql": "SELECT phone FROM opt_outs WHERE since < ?", "parameters": ["2026-06-01"]}
    run = run_task(batch(people(10), suppression=query))
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 6, "suppressed": 4}
    assert "opt_outs" in str(run.rendered["suppression"])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["+4179302672"], "suppression: 1 entries cannot be read as phone numbers"),
        ([{"a": 1, "b": 2}], "suppression: row 1 has no column 'to'"),
        ({"sql": "SELECT 1"}, "suppression: a query must be given as {'conn_id'"),
        (5, "suppression: must be a list of numbers, the address of a file or a query, is a int"),
        ("/no/such/list.txt", "the name must end in .csv"),
    ],
)
def test_an_opt_out_list_that_cannot_be_read_stops_everything_before_the_first_send(at_sandbox, given, words):
    run = run_task(batch(people(3), suppression=given, retries=2), retries=2)
    assert run.state == "failed"
    assert "Nothing was sent" in str(run.error)
    assert words in str(run.error)
    assert at_sandbox.requests_seen == 0


def test_a_file_of_opt_outs_that_is_not_there_is_an_error_that_airflow_retries(at_sandbox, tmp_path):
    run = run_task(batch(people(3), suppression=str(tmp_path / "gone.csv"), retries=2), retries=2)
    assert run.state == "up_for_retry"
    assert at_sandbox.requests_seen == 0


def test_opt_outs_do_not_show_in_rendered_templates(at_sandbox):
    run = run_task(batch(people(3), suppression=[f"+{number(0)}", f"+{number(9)}"]))
    assert run.rendered["suppression"] == "<list of 2 rows>"
    assert number(9) not in json.dumps(run.rendered, default=str)
