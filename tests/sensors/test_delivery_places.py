"""Final statuses go back to where the rows live, and are read there: nothing else remembers them."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.campaign.results.files import read_results
from tests.support.airflow_harness import run_task
from tests.support.batch_tasks import batch, people
from tests.support.delivery_tasks import counts, run_through, sensor, triggered
from tests.support.queried_people import invites
from tests.support.sql_connections import CONN_ID, DRIVERS

ENDS = {"undeliverable": 0.2, "expired": 0.1, "pending": 0.2}


def in_ledger(tmp_path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as database:
        found = database.execute(sql).fetchall()
        database.commit()
        return found


def manifest_of(task: Any) -> dict[str, Any]:
    run = run_task(task)
    assert run.succeeded, run.error
    return dict(run.xcom["return_value"])


def looked(invites: Any = None, **given: Any) -> Any:
    """One look of the worker, with all of what is final by then."""
    run = run_task(sensor(invites, deferrable=False, timeout=0, on_timeout="succeed", **given))
    assert run.succeeded, run.error
    return counts(run)


# result files


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_beside_result_files(vendor, ledger, tmp_path, ending):
    vendor(delivery=ENDS)
    folder = tmp_path / "results"
    manifest = manifest_of(batch(people(60), results_path=str(folder), results_format=ending, **ledger))
    found = looked(manifest)
    (folder_of_task,) = {file.parent for file in folder.rglob(f"sent-*.{ending}")}
    results = {result.message_id: result for result in read_results(folder_of_task)}
    (file,) = (folder_of_task / "delivery").iterdir()
    lines = file.read_text().splitlines()
    rows = list(csv.DictReader(lines)) if ending == "csv" else [json.loads(line) for line in lines]
    assert Counter(row["delivery"] for row in rows) + Counter(pending=found["pending"]) == Counter(found)
    assert sum(found.values()) == 60
    for row in rows:
        assert int(row["row"]) == results[row["message_id"]].position
        assert Decimal(row["price"]) == Decimal("0.0405")
        assert row["currency"] == "EUR"
        assert datetime.fromisoformat(row["delivered_at"]).tzinfo
    assert file.stat().st_mode & 0o777 == 0o600
    # What is written is not asked for again, and the next look adds only what is new.
    assert looked(manifest) == found
    assert len(list((folder_of_task / "delivery").iterdir())) == 1


def test_a_line_that_a_crash_has_torn_is_asked_for_again(vendor, ledger, tmp_path):
    vendor()
    manifest = manifest_of(batch(people(3), results_path=str(tmp_path / "results"), **ledger))
    assert looked(manifest) == {"delivered": 3}
    (file,) = tmp_path.rglob("delivery/*.jsonl")
    file.write_text(file.read_text()[:-20])
    assert looked(manifest) == {"delivered": 3}
    assert len(list(tmp_path.rglob("delivery/*.jsonl"))) == 2


# the results table


def test_columns_of_the_results_table(vendor, ledger, database):
    vendor(delivery=ENDS)
    database.fill("people", "id mobile first_name", [(f"c-{i}", f"+41792{i:06d}", f"P{i}") for i in range(60)])
    database.run("DROP TABLE IF EXISTS invited")
    manifest = manifest_of(invites(results_table="invited"))
    assert manifest["rows_in"]["kind"] == "table"
    found = looked(manifest)
    rows = database.run("SELECT delivery, delivered_at, price, currency FROM invited")
    assert Counter(row[0] or "pending" for row in rows) == Counter(found)
    assert {(Decimal(str(row[2])).normalize(), row[3]) for row in rows if row[0]} == {(Decimal("0.0405"), "EUR")}
    assert all((row[1] is None) == (row[0] is None) for row in rows)
    assert looked(manifest) == found


# the ledger


# DuckDB can hold no ledger.
@pytest.mark.parametrize("database", [driver for driver in DRIVERS if driver != "duckdb"], indirect=True)
def test_columns_of_the_ledger(vendor, database):
    vendor(delivery=ENDS)
    database.run("DROP TABLE IF EXISTS spring_ledger")
    ledger = {"ledger_conn_id": CONN_ID, "ledger_table": "spring_ledger"}
    manifest = manifest_of(batch(people(60), campaign="spring", **ledger))
    assert manifest["rows_in"]["kind"] == "ledger"
    found = looked(campaign="spring", **ledger)
    rows = database.run("SELECT delivery, delivered_at, price, currency FROM spring_ledger")
    assert Counter(row[0] or "pending" for row in rows) == Counter(found)
    assert {(Decimal(str(row[2])).normalize(), row[3]) for row in rows if row[0]} == {(Decimal("0.0405"), "EUR")}
    assert all((row[1] is None) == (row[0] is None) for row in rows)
    assert looked(manifest) == found


def test_a_manifest_follows_what_its_own_task_has_sent(vendor, ledger, tmp_path):
    vendor()
    first = manifest_of(batch(people(3), campaign="spring", task_id="first", **ledger))
    second = manifest_of(batch(people(5), campaign="spring", task_id="second", **ledger))
    assert looked(second) == {"delivered": 2}
    assert looked([first, second]) == {"delivered": 5}
    assert looked(campaign="spring", **ledger) == {"delivered": 5}


def test_what_is_older_than_the_logs_is_out_of_reach_and_holds_up_nothing(vendor, ledger, tmp_path):
    vendor()
    manifest = manifest_of(batch(people(4), **ledger))
    old = (datetime.now(UTC) - timedelta(hours=49)).replace(tzinfo=None).isoformat(" ", "microseconds")
    in_ledger(tmp_path, f"UPDATE omnichat_invites SET ended_at = '{old}' WHERE recipient < '41792000002'")
    run = run_through(sensor(manifest))
    assert run.succeeded, run.error
    assert counts(run) == {"delivered": 2, "out_of_reach": 2}
    # All of it: then there is nothing to wait for.
    in_ledger(tmp_path, f"UPDATE omnichat_invites SET ended_at = '{old}', delivery = NULL")
    run = run_task(sensor(manifest))
    assert run.succeeded, run.error
    assert counts(run) == {"out_of_reach": 4}


def test_a_campaign_or_a_table_that_is_not_there_is_an_error_and_no_table_is_made(vendor, ledger, tmp_path):
    vendor()
    manifest_of(batch(people(1), campaign="spring", **ledger))
    run = run_task(sensor(campaign="autumn", **ledger))
    assert run.state == "failed"
    assert "no invite of this campaign" in str(run.error)
    run = run_task(sensor(campaign="spring", ledger_table="other", **ledger))
    assert "cannot be read" in str(run.error)
    assert in_ledger(tmp_path, "SELECT name FROM sqlite_master WHERE name = 'other'") == []


def test_rows_that_are_gone_are_an_error(vendor, ledger, tmp_path):
    vendor()
    manifest = manifest_of(batch(people(2), results_path=str(tmp_path / "results"), **ledger))
    for file in tmp_path.rglob("sent-*"):
        file.unlink()
    run = run_task(sensor(manifest))
    assert run.state == "failed"
    assert "were the rows removed?" in str(run.error)


# many


def test_a_killed_worker_and_a_new_triggerer_lose_nothing(vendor, ledger, tmp_path):
    sandbox = vendor(after=(0.0, 1.0), delivery={"undeliverable": 0.2})
    manifest = manifest_of(batch(people(300), **ledger))
    task = sensor(manifest)
    run = run_task(task)
    assert run.state == "deferred"
    looked(manifest)  # another worker looks, writes, and is gone
    triggered(run.deferral)
    triggered(run.deferral)  # the triggerer was started again
    run = run_through(task)
    assert run.succeeded, run.error
    assert sum(counts(run).values()) == 300
    rows = in_ledger(tmp_path, "SELECT delivery, COUNT(*) FROM omnichat_invites GROUP BY delivery")
    assert dict(rows) == counts(run)
    assert sandbox.totals.accepted == 300
