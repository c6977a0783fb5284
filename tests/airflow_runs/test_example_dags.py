"""The example DAGs, as a reader of the documentation runs them."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from contextlib import closing
from typing import Any

import pytest

from airflow_provider_omnichat.sandbox.server import Sandbox
from tests.airflow_runs.deployment import AIRFLOW, EXAMPLE_DAGS, HAS_STATE_STORE, Airflow, assert_none_of

pytestmark = pytest.mark.airflow

CAMPAIGN = "example_lifecycle_campaign"
NOISY = (3, 0)
"""Its `dags test` prints each XCom that passes, to the terminal; its log files are as those of the others."""


def test_one_invite(airflow: Airflow, sandbox: Sandbox) -> None:
    ended = airflow.cli(
        "dags", "test", "example_send_invite", "2026-11-20", AIRFLOW__CORE__DAGS_FOLDER=str(EXAMPLE_DAGS)
    )

    assert ended.returncode == 0, ended.stdout[-3000:]
    run_id, state = airflow.last_run("example_send_invite")
    assert state == "success"
    (sms,) = sandbox.accepted
    assert (sms.to, sms.message) == ("447700900123", "Hi Ada, questions? We are here to chat: <link>")
    assert airflow.xcoms("example_send_invite", run_id, "send_invite", "messageId") == {-1: sms.message_id}
    assert sms.status is not None
    assert airflow.xcoms("example_send_invite", run_id, "send_invite", "status") == {-1: sms.status.as_wire()}
    if AIRFLOW != NOISY:
        assert_none_of(["7700900123", "7700 900123", "questions?"], ended.stdout)


def test_campaign_writes_an_outcome_for_each_customer_who_is_due(airflow: Airflow, sandbox: Sandbox) -> None:
    sandbox.script("rejected:10", "429-retry-after:0.1")
    ended = airflow.cli("dags", "test", CAMPAIGN, "2026-11-20T12:00:00", AIRFLOW__CORE__DAGS_FOLDER=str(EXAMPLE_DAGS))

    # A refusal of the vendor is an outcome, so the run is green.
    assert ended.returncode == 0, ended.stdout[-3000:]
    run_id, state = airflow.last_run(CAMPAIGN)
    assert state == "success"
    rows = invites(airflow, run_id)
    assert Counter(row["outcome"] for row in rows) == {"accepted": 34, "rejected": 1, "invalid": 4, "duplicate": 1}
    assert sent_as_recorded(rows, sandbox)
    (rejected,) = (row for row in rows if row["outcome"] == "rejected")
    assert rejected["message_id"]
    assert json.loads(rejected["status"])["id"] == 10
    assert rejected["reason"].startswith("REJECTED_DND")
    assert all(row["reason"] for row in rows if row["outcome"] in ("invalid", "duplicate"))
    assert sandbox.requests_seen == 36
    labels = airflow.query(
        "SELECT rendered_map_index FROM task_instance WHERE run_id = ? AND task_id = 'send_invite'", run_id
    )
    assert {label for (label,) in labels} == {row["customer_id"] for row in rows if row["status"]}
    numbers = [row["number"] for row in rows if row["number"]]
    if AIRFLOW != NOISY:
        assert_none_of([*numbers, "one week with us"], ended.stdout)
    assert_none_of([*numbers, "one week with us"], "\n".join(airflow.rendered(CAMPAIGN, run_id).values()))


def test_scheduled_campaign_is_red_while_an_invite_is_in_doubt_and_clearing_sends_nothing_twice(
    deployment: Airflow, sandbox: Sandbox
) -> None:
    # A database of this day: the other test's is of another.
    deployment.example_database.unlink(missing_ok=True)
    sandbox.script("drop-after")
    deployment.api("PATCH", f"/api/v2/dags/{CAMPAIGN}", {"is_paused": False})
    deployment.wait_until(
        lambda: deployment.last_run(CAMPAIGN)[0].startswith("scheduled__"), "the scheduler has made a run"
    )
    run_id, _ = deployment.last_run(CAMPAIGN)

    assert deployment.wait_for_run(CAMPAIGN, run_id) == "failed"
    rows = invites(deployment, run_id)
    assert Counter(row["outcome"] for row in rows) == {"accepted": 34, "unknown": 1, "invalid": 4, "duplicate": 1}
    assert sent_as_recorded([row for row in rows if row["outcome"] != "unknown"], sandbox, also=1)
    (doubtful,) = (row for row in rows if row["outcome"] == "unknown")
    assert "the connection broke" in doubtful["reason"]
    assert f"1 of 35 invites are open: {doubtful['customer_id']} unknown" in deployment.log(
        CAMPAIGN, run_id, "record_outcomes"
    )
    assert sandbox.requests_seen == 35
    assert_none_of([row["number"] for row in rows if row["number"]], deployment.log(CAMPAIGN, run_id))

    if HAS_STATE_STORE:
        deployment.clear(CAMPAIGN, run_id, only_failed=True)
        assert deployment.wait_for_run(CAMPAIGN, run_id) == "failed"
        assert [row["outcome"] for row in invites(deployment, run_id)] == [row["outcome"] for row in rows]
        assert sandbox.requests_seen == 35


def invites(airflow: Airflow, run_id: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(airflow.example_database)) as database:
        database.row_factory = sqlite3.Row
        rows = database.execute("SELECT * FROM invites WHERE run_id = ? ORDER BY customer_id", (run_id,))
        return [dict(row) for row in rows]


def sent_as_recorded(rows: list[dict[str, Any]], sandbox: Sandbox, also: int = 0) -> bool:
    """Tell whether the accepted rows are the SMS that went out, but for some that nobody knows of."""
    recorded = {(row["number"], row["message_id"]) for row in rows if row["outcome"] == "accepted"}
    sent = {(sms.to, sms.message_id) for sms in sandbox.accepted}
    return recorded <= sent and len(sent - recorded) == also and sandbox.totals.numbers_sent_twice == 0
