"""A second run of a named campaign says what the first one did, and is red about its doubts."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.api.identity import recipient_key
from airflow_provider_omnichat.campaign.ledger.admin import LedgerAdmin
from airflow_provider_omnichat.campaign.ledger.interface import CERTAINLY_NOT_SENT, Claim
from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from airflow_provider_omnichat.operators.omnichat import SettleInvitesOperator
from airflow_provider_omnichat.sandbox import Sandbox, Settings
from tests.support.airflow_harness import run_task
from tests.support.airflow_versions import HAS_TABS, needs_runner, needs_tabs
from tests.support.batch_tasks import batch, counts, number, people, rows_in
from tests.support.single_tasks import invite
from tests.support.sql_servers import Target
from tests.support.wire_server import answer

pytestmark = needs_runner
STATES = {"run-0": {"dead": "failed"}, "run-9": {"alive_2": "running"}}
DEAD, ALIVE = "invites/run-0/dead", "invites/run-9/alive/2"


@pytest.fixture
def campaign(ledger: dict[str, Any]) -> dict[str, Any]:
    return {**ledger, "campaign": "welcome", "key_column": "id", "concurrency": 1}


def airflow_says(message: Any) -> Any:
    if type(message).__name__ != "GetTaskStates":
        return None
    from airflow.sdk.execution_time.comms import TaskStatesResult

    found = {run: STATES.get(run, {}) for run in message.run_ids or ()}
    return TaskStatesResult(task_states=found)


def leave_open(folder: Path, owner: str, *indexes: int) -> None:
    database = Target("sqlite", "sqlite3", {"database": str(folder / "ledger.sqlite")}).database()
    claims = [Claim(recipient_key("welcome", number(i)), number(i), f"c{i}") for i in indexes]
    other = SqlLedger(database, "welcome", owner)
    assert other.claim(claims, CERTAINLY_NOT_SENT) == {}
    other.close()


def found_in(folder: Path) -> dict[str, tuple[str | None, str | None]]:
    with sqlite3.connect(folder / "ledger.sqlite") as database:
        rows = database.execute("SELECT row_key, outcome, reason_code FROM omnichat_invites").fetchall()
    return {key: (outcome, code) for key, outcome, code in rows}


def reasons(run: Any) -> dict[tuple[str, str], tuple[int, list[Any]]]:
    return {
        (each["outcome"], each["code"]): (each["count"], each["first"]) for each in run.xcom["return_value"]["reasons"]
    }


def test_each_of_them_has_its_reason_in_counts_log_and_rows(at_sandbox, campaign, tmp_path, capfd, caplog):
    caplog.set_level("INFO")
    at_sandbox.script("ok", "rejected", "drop-after", "ok")
    first = run_task(batch(people(4), **campaign))
    assert counts(first) == {"accepted": 2, "rejected": 1, "unknown": 1}
    leave_open(tmp_path, DEAD, 4, 5)
    leave_open(tmp_path, ALIVE, 6)
    before = at_sandbox.requests_seen
    capfd.readouterr()

    given = {**campaign, "task_id": "later", "results_path": str(tmp_path / "results")}
    later = run_task(batch(people(8), **given), on_message=airflow_says)
    assert counts(later) == {"accepted": 1, "duplicate": 4, "unknown": 3}
    assert later.state == "failed"
    assert reasons(later) == {
        ("unknown", "in_doubt_since_earlier_run"): (3, ["c2", "c4", "c5"]),
        ("duplicate", "accepted_earlier"): (2, ["c0", "c3"]),
        ("duplicate", "rejected_earlier"): (1, ["c1"]),
        ("duplicate", "being_sent"): (1, ["c6"]),
    }
    assert "3 invites may have been sent, or not" in str(later.error)
    assert "in doubt since earlier run 3 (c2, c4, c5)" in str(later.error)
    assert at_sandbox.requests_seen == before + 1
    log = "".join(capfd.readouterr()) + caplog.text
    assert "4 duplicate: accepted earlier 2 (c0, c3), rejected earlier 1 (c1), being sent 1 (c6)" in log
    assert "3 in doubt: in doubt since earlier run 3 (c2, c4, c5)" in log

    errors = {row.key: str(row.error) for row in rows_in(tmp_path / "results")}
    assert errors["c0"].startswith("already invited in this campaign: invites/run-1/invite at ")
    assert errors["c2"].startswith("in doubt since an earlier run of this campaign: invites/run-1/invite at ")
    assert f"campaign: {DEAD} at " in errors["c4"]
    assert "ended before it could say how" in errors["c4"]
    assert f"is sending it now: {ALIVE} at " in errors["c6"]
    assert found_in(tmp_path)["c4"] == found_in(tmp_path)["c5"] == ("unknown", "claim_never_ended")
    assert found_in(tmp_path)["c6"] == (None, None)


def test_a_preview_tells_the_claims_of_dead_tasks_from_what_is_being_sent(at_sandbox, campaign, tmp_path):
    leave_open(tmp_path, DEAD, 0, 1)
    leave_open(tmp_path, ALIVE, 2)
    preview = run_task(batch(people(4), **campaign, task_id="later", dry_run=True), on_message=airflow_says)
    assert preview.succeeded, preview.error
    assert counts(preview) == {"unknown": 2, "duplicate": 1, "not_sent": 1}
    assert reasons(preview) == {
        ("unknown", "in_doubt_since_earlier_run"): (2, ["c0", "c1"]),
        ("duplicate", "being_sent"): (1, ["c2"]),
    }
    assert found_in(tmp_path)["c0"] == (None, None)  # it only reads


def test_max_unknown_ratio_is_of_all_that_the_campaign_has_sent(at_sandbox, campaign):
    at_sandbox.script("drop-after")
    assert run_task(batch(people(20), max_unknown_ratio=0.05, **campaign)).succeeded
    assert run_task(batch(people(20), max_unknown_ratio=0.05, **campaign, task_id="later")).succeeded
    later = run_task(batch(people(20), max_unknown_ratio=0.04, **campaign, task_id="later"))
    assert later.state == "failed"
    assert "max_unknown_ratio 0.04 of 20" in str(later.error)


def test_resend_sends_only_what_the_task_left_in_doubt_itself(at_sandbox, campaign, tmp_path):
    at_sandbox.script("drop-before")
    run_task(batch(people(1), **campaign))
    leave_open(tmp_path, DEAD, 1)
    before = at_sandbox.requests_seen
    given = {**campaign, "task_id": "later", "on_unknown": "resend"}
    for _ in range(2):
        later = run_task(batch(people(2), **given), on_message=airflow_says)
        assert (later.state, counts(later)) == ("failed", {"unknown": 2})
    assert at_sandbox.requests_seen == before


def test_a_later_run_looks_the_doubts_up_and_settles_them_for_everybody(hook_for, campaign, tmp_path):
    with Sandbox(seed=1, settings=Settings(delivery_after=(0.0, 0.0))) as sandbox:
        hook_for(sandbox)
        sandbox.script("drop-after", "drop-before", "ok")
        assert counts(run_task(batch(people(3), **campaign))) == {"unknown": 2, "accepted": 1}
        before = sandbox.requests_seen
        later = run_task(batch(people(3), **campaign, on_unknown="lookup", task_id="later"))
        assert (later.state, counts(later)) == ("failed", {"unknown": 1, "duplicate": 2})
        assert reasons(later)["duplicate", "accepted_earlier"] == (2, ["c2", "c0"])
        assert sandbox.requests_seen == before
        assert found_in(tmp_path)["c0"][0] == "accepted"
        assert counts(run_task(batch(people(3), **campaign))) == {"unknown": 1, "accepted": 2}


def test_a_claim_whose_task_has_ended_is_settled_at_once(hook_for, ledger, tmp_path):
    with Sandbox(seed=1, settings=Settings(delivery_after=(0.0, 0.0))) as sandbox:
        hook_for(sandbox)
        assert run_task(batch(people(2))).succeeded  # the vendor's logs know both; this ledger does not
        leave_open(tmp_path, DEAD, 0)
        leave_open(tmp_path, ALIVE, 1)
        settle = SettleInvitesOperator(task_id="settle", campaign="welcome", patience=0, **ledger)
        done = run_task(settle, on_message=airflow_says)
        assert done.succeeded, done.error
        assert done.xcom["return_value"] == {"campaign": "welcome", "found": 1, "still_in_doubt": 1}
        assert found_in(tmp_path)["c0"] == ("accepted", "claim_never_ended")
        assert found_in(tmp_path)["c1"] == (None, None)


@pytest.mark.parametrize(
    ("fault", "state", "says", "shown"),
    [
        ("ok", "success", "", ("duplicate", "accepted_earlier")),
        ("rejected", "failed", "Already rejected in this campaign", ("duplicate", "rejected_earlier")),
        ("drop-after", "failed", "In doubt since an earlier run", ("unknown", "in_doubt_since_earlier_run")),
        (DEAD, "failed", "In doubt since an earlier run", ("unknown", "in_doubt_since_earlier_run")),
        (ALIVE, "up_for_retry", "is sending it now", ("duplicate", "being_sent")),
    ],
)
def test_a_single_invite_says_the_same(at_sandbox, ledger, tmp_path, fault, state, says, shown):
    given = {**ledger, "campaign": "welcome", "to": f"+{number(0)}"}
    if "/" in fault:
        leave_open(tmp_path, fault, 0)
    else:
        at_sandbox.script(fault)
        run_task(invite(**given))
    before = at_sandbox.requests_seen
    later = run_task(invite(task_id="later", retries=1, **given), on_message=airflow_says, retries=1)
    assert later.state == state, later.error
    assert says in str(later.error or "")
    assert at_sandbox.requests_seen == before
    if HAS_TABS:
        progress = later.xcom["invite_progress"]
        assert [(each["outcome"], each["code"]) for each in progress["reasons"]] == [shown]
        assert progress["counts"][shown[0]] == 1
    if state == "success":
        assert later.xcom["messageId"] == at_sandbox.accepted[0].message_id


def test_opted_out_capped_and_forgotten_are_three_reasons_in_the_preview_and_after(
    at_sandbox, campaign, ledger, tmp_path, capfd
):
    assert run_task(batch(people(2), **{**campaign, "campaign": "before"})).succeeded  # c0 and c1 got one
    assert run_task(batch([people(3)[2]], **campaign, task_id="forgotten")).succeeded
    target = Target("sqlite", "sqlite3", {"database": str(tmp_path / "ledger.sqlite")})
    assert LedgerAdmin(target.database()).forget(number(2)) == 1
    given = {**campaign, "max_per_recipient": (1, "7d"), "suppression": [f"+{number(1)}"]}
    expected = {
        ("suppressed", "frequency_cap"): (1, ["c0"]),
        ("suppressed", "opted_out"): (1, ["c1"]),
        ("suppressed", "forgotten"): (1, ["c2"]),
    }
    for dry_run in (True, False):
        capfd.readouterr()
        run = run_task(batch(people(3), **given, dry_run=dry_run, task_id="later"))
        assert run.succeeded, run.error
        assert counts(run) == {"suppressed": 3}
        assert reasons(run) == expected
        log = "".join(capfd.readouterr())
        shown = run.xcom["markdown"] if dry_run else log
        in_preview = ("is on the opt-out list", "invites in the last 7 days", "was erased from the ledger")
        for words in in_preview if dry_run else ("frequency cap 1 (c0)", "opted out 1 (c1)", "forgotten 1 (c2)"):
            assert words in shown, shown
    single = run_task(invite(to=f"+{number(2)}", task_id="single", campaign="welcome", **ledger))
    assert single.state == "failed"
    assert "was erased" in str(single.error)
    if HAS_TABS:
        assert single.xcom["invite_progress"]["counts"]["suppressed"] == 1


@needs_tabs
def test_an_account_that_is_refused_is_not_refused_for_now(wire, connection):
    connection(wire(answer(401)).url)
    run = run_task(batch(people(3), concurrency=1))
    assert run.state != "success"
    progress = run.xcom["invite_progress"]
    assert (progress["refused_for_now"], progress["counts"]["not_sent"]) == (0, 3)
