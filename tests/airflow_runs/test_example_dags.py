"""The example DAGs, as a reader of the documentation runs them."""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from typing import Any
from urllib.parse import quote

import pytest

from airflow_provider_omnichat.sandbox.server import Sandbox
from tests.support.airflow_deployment import Airflow, assert_none_of
from tests.support.airflow_versions import AIRFLOW, HAS_API_SERVER
from tests.support.folders import EXAMPLE_DAGS

pytestmark = pytest.mark.airflow

CAMPAIGN = "example_lifecycle_campaign"
DELIVERY = "example_delivery"
MAPPED = "example_mapped_invites"
APPROVED = "example_approved_campaign"
PARTITIONED = "example_partitioned_campaign"


@pytest.mark.promise
def test_one_invite(running: Airflow, sandbox: Sandbox) -> None:
    run = running.run_dag("example_send_invite")

    assert run.state == "success", run.log
    (sms,) = sandbox.accepted
    assert (sms.to, sms.message) == ("447700900123", "Hi Ada, questions? We are here to chat: <link>")
    assert running.xcoms("example_send_invite", run.run_id, "send_invite", "messageId") == {-1: sms.message_id}
    assert sms.status is not None
    assert running.xcoms("example_send_invite", run.run_id, "send_invite", "status") == {-1: sms.status.as_wire()}
    assert_none_of(["7700900123", "7700 900123", "questions?"], run.log)


def test_invites_are_followed_until_they_are_delivered(running: Airflow, sandbox: Sandbox) -> None:
    if HAS_API_SERVER:
        running.start_triggerer()
        sandbox.set_delivery({}, after=(3600.0, 3600.0))
        run_id = running.trigger(DELIVERY)
        running.wait_until_at_rest(DELIVERY, run_id, "wait_for_delivery")
        sandbox.set_delivery({}, after=(0.0, 0.0))
        run = running.ended(DELIVERY, run_id)
    else:
        run = running.run_dag(DELIVERY)

    assert run.state == "success", run.log
    (counts,) = running.xcoms(DELIVERY, run.run_id, "wait_for_delivery", "return_value").values()
    assert (counts["delivered"], sum(counts.values())) == (3, 3)
    with closing(sqlite3.connect(running.ledger)) as database:
        found = database.execute(
            "SELECT row_key, delivery FROM omnichat_invites WHERE message_id IN (?, ?, ?)",
            [sms.message_id for sms in sandbox.accepted],
        ).fetchall()
    assert dict(found) == dict.fromkeys(("C-1", "C-2", "C-3"), "delivered")
    assert "What became of them: 3 delivered" in run.log


def test_an_invite_for_each_customer(running: Airflow, sandbox: Sandbox) -> None:
    run = running.run_dag(MAPPED)

    assert run.state == "success", run.log
    ids = {sms.to: sms.message_id for sms in sandbox.accepted}
    in_order = [ids["447700900123"], ids["33639981234"], ids["46701740633"]]
    assert running.xcoms(MAPPED, run.run_id, "send_invite", "messageId") == dict(enumerate(in_order))
    labels = running.query(
        "SELECT map_index, rendered_map_index FROM task_instance WHERE run_id = ? AND task_id = ? AND map_index >= 0",
        run.run_id,
        "send_invite",
    )
    assert dict(labels) == {0: "C-1", 1: "C-2", 2: "C-3"}
    assert all(f"The vendor calls it {message_id} and says PENDING" in run.log for message_id in in_order)


def test_campaign_writes_an_outcome_for_each_customer_who_is_due(airflow: Airflow, sandbox: Sandbox) -> None:
    forget_invited(airflow)
    sandbox.script("rejected:10", "429-retry-after:0.1")
    # As the documentation says to try it; the same by the scheduler is below.
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
    assert (rejected["status_id"], rejected["status"]) == (10, "REJECTED_DND")
    assert "do-not-disturb" in rejected["reason"]
    assert all(row["reason"] for row in rows if row["outcome"] in ("invalid", "duplicate"))
    assert sandbox.requests_seen == 36
    assert "Hi Amelia, one week with us!" in {sms.message[:28] for sms in sandbox.accepted}
    assert airflow.xcoms(CAMPAIGN, run_id, "report", "return_value") == {
        -1: {"accepted": 34, "duplicate": 1, "invalid": 4, "rejected": 1}
    }

    # Numbers and texts are where their owner alone may read them, and nowhere else.
    hidden = [*(row["number"] for row in rows if row["number"]), "Amelia, one week with us"]
    assert len(hidden) == 37
    assert_none_of(hidden, ended.stdout)
    rendered = "\n".join(airflow.rendered(CAMPAIGN, run_id).values())
    assert "Hi {first_name}, one week with us!" in rendered, "the template, with nothing filled in"
    assert_none_of(hidden, rendered)
    assert_none_of(hidden, str(airflow.query("SELECT value FROM xcom WHERE dag_id = ?", CAMPAIGN)))
    files = [path for part in ("due", "results") for path in (airflow.example_home / part).rglob("*") if path.is_file()]
    assert len(files) == 4  # the list, whose rows they are, rows that stand, the other rows
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert airflow.example_home.stat().st_mode & 0o777 == 0o700


@pytest.mark.promise
def test_scheduled_campaign_is_red_while_an_invite_is_in_doubt_and_clearing_sends_nothing_twice(
    deployment: Airflow, sandbox: Sandbox
) -> None:
    # A database of this day: the other test's is of another.
    forget_invited(deployment)
    sandbox.script("drop-after")
    run_id = deployment.trigger(CAMPAIGN)

    assert deployment.wait_for_run(CAMPAIGN, run_id) == "failed"
    rows = invites(deployment, run_id)
    assert Counter(row["outcome"] for row in rows) == {"accepted": 34, "unknown": 1, "invalid": 4, "duplicate": 1}
    assert sent_as_recorded([row for row in rows if row["outcome"] != "unknown"], sandbox, also=1)
    (doubtful,) = (row for row in rows if row["outcome"] == "unknown")
    assert "the connection broke" in doubtful["reason"]
    assert f"1 invites are open: {doubtful['customer_id']} unknown" in deployment.log(
        CAMPAIGN, run_id, "record_outcomes"
    )
    assert sandbox.requests_seen == 35
    assert_none_of([row["number"] for row in rows if row["number"]], deployment.log(CAMPAIGN, run_id))

    deployment.clear(CAMPAIGN, run_id, only_failed=True)

    # Not the state of the run, which for a moment is still that of before.
    deployment.wait_until(
        lambda: deployment.tries(CAMPAIGN, run_id, "record_outcomes") == {-1: ("failed", 2)},
        "the outcomes are recorded again",
    )
    assert deployment.wait_for_run(CAMPAIGN, run_id) == "failed"
    assert [row["outcome"] for row in invites(deployment, run_id)] == [row["outcome"] for row in rows]
    assert sandbox.requests_seen == 35


def forget_invited(airflow: Airflow) -> None:
    """Begin anew: both tests invite the same people, which the ledger would not let happen."""
    shutil.rmtree(airflow.example_home, ignore_errors=True)
    for file in airflow.home.glob(f"{airflow.ledger.name}*"):
        file.unlink()


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


@pytest.mark.skipif(AIRFLOW < (3, 1), reason="Airflow has approvals from 3.1 on")
@pytest.mark.parametrize("chosen", ["Approve", "Reject"])
def test_approved_campaign_waits_for_a_person_and_then_sends_that_list(
    deployment: Airflow, sandbox: Sandbox, chosen: str
) -> None:
    forget_invited(deployment)
    deployment.start_triggerer()
    run_id = deployment.trigger(APPROVED)
    path = f"/api/v2/dags/{APPROVED}/dagRuns/{quote(run_id)}/taskInstances/approve/-1/hitlDetails"
    question = deployment.wait_until(lambda: deployment.get(path), "a person is asked")
    assert question["subject"] == "Send the spring campaign?"
    assert "people of 360 rows would be invited" in question["body"]
    assert sandbox.requests_seen == 0
    deployment.wait_until_at_rest(APPROVED, run_id, "approve")

    deployment.api("PATCH", path, {"chosen_options": [chosen], "params_input": {}})

    def ended() -> tuple[str, int] | None:
        found = deployment.tries(APPROVED, run_id, "send").get(-1)
        return found if found and found[0] in {"success", "deferred", "skipped", "failed"} else None

    state, _ = deployment.wait_until(ended, "the campaign is sent, as far as people are awake")
    if chosen == "Reject":
        assert state == "skipped"
        assert sandbox.requests_seen == 0
        return
    (manifest,) = deployment.xcoms(APPROVED, run_id, "send", "return_value").values()
    counts = Counter(manifest["counts"])
    # How many are awake depends on when this test is run.
    assert state == ("deferred" if counts["held"] else "success")
    assert counts.total() == manifest["rows"] == 360
    assert counts["accepted"] + counts["held"] == 304
    assert counts["suppressed"] == 7
    assert len(sandbox.accepted) == counts["accepted"]
    with closing(sqlite3.connect(deployment.example_database)) as database:
        recorded = dict(database.execute("SELECT outcome, count(*) FROM spring_invites GROUP BY outcome"))
        opted_out = database.execute(
            "SELECT count(*) FROM spring_invites JOIN opt_outs ON recipient = phone"
            " WHERE outcome IN ('accepted', 'held')"
        ).fetchone()
    assert recorded == {outcome: count for outcome, count in counts.items() if count}
    assert opted_out == (0,)
    assert_none_of([sms.to for sms in sandbox.accepted] or ["spring collection"], deployment.log(APPROVED, run_id))


def test_partitioned_campaign_sends_to_each_person_once(running: Airflow, sandbox: Sandbox) -> None:
    forget_invited(running)
    assert running.cli("pools", "set", "omnichat_senders", "2", "Invites side by side").returncode == 0
    for _ in range(2):
        run = running.run_dag(PARTITIONED)
        assert run.state == "success", run.log
        manifests = running.xcoms(PARTITIONED, run.run_id, "send_part", "return_value")
        assert sorted(manifests) == [0, 1, 2, 3]
        assert sum(one["rows"] for one in manifests.values()) == 360
        assert min(one["counts"]["accepted"] + one["counts"]["duplicate"] for one in manifests.values()) > 50
        assert sandbox.requests_seen == 311
        assert sandbox.totals.numbers_sent_twice == 0
