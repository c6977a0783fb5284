"""Doubts that are looked up in the vendor's SMS logs: what is found was sent, and a miss never sends anything."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_omnichat.api.errors import SmsLogsError
from airflow_provider_omnichat.api.privacy import scrub
from airflow_provider_omnichat.campaign.ledger.admin import LedgerAdmin
from airflow_provider_omnichat.campaign.ledger.interface import Settlement
from airflow_provider_omnichat.campaign.sql.values import stamp
from airflow_provider_omnichat.hooks.databases import ledger_database
from airflow_provider_omnichat.operators.omnichat import SettleInvitesOperator
from airflow_provider_omnichat.sandbox import Sandbox, Settings
from tests.support.airflow_harness import run_task
from tests.support.airflow_versions import needs_store
from tests.support.batch_tasks import batch, counts, number, people, rows_in
from tests.support.patience import PATIENCE_SECONDS
from tests.support.single_tasks import invite

NOW = datetime.now(UTC)
KINDS = ["task state store", "sql"]


@pytest.fixture
def sandbox_of(hook_for: Any) -> Any:
    """A sandbox with its logs set up in some way, and the connection to it."""
    opened: list[Sandbox] = []

    def make(**settings: Any) -> Sandbox:
        opened.append(Sandbox(seed=1, settings=Settings(delivery_after=(0.0, 0.0), **settings)).__enter__())
        hook_for(opened[0])
        return opened[0]

    yield make
    for sandbox in opened:
        sandbox.__exit__(None, None, None)


@pytest.fixture(params=KINDS)
def kept(request: pytest.FixtureRequest, ledger: dict[str, Any]) -> dict[str, Any]:
    return ledger if request.param == "sql" else {}


def table(folder: Path, columns: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(folder / "ledger.sqlite") as database:
        return database.execute(f"SELECT {columns} FROM omnichat_invites ORDER BY recipient").fetchall()


@needs_store
def test_what_is_found_is_accepted_and_what_is_not_stays_unknown_and_nothing_is_sent(sandbox_of, tmp_path, kept):
    sandbox = sandbox_of()
    sandbox.script("ok", "drop-after", "drop-before", "500-after", "500-before")
    store: dict[str, Any] = {}
    given = {"results_path": str(tmp_path / "results"), "on_unknown": "lookup", "concurrency": 1, **kept}
    first = run_task(batch(people(6), **given), store=store)
    assert (first.state, counts(first)) == ("failed", {"unknown": 4, "accepted": 2})
    sent = {receipt.to: receipt.message_id for receipt in sandbox.accepted}
    assert len(sent) == 4
    before = sandbox.requests_seen

    again = run_task(batch(people(6), **given), store=store, try_number=2)
    assert (again.state, counts(again)) == ("failed", {"unknown": 2, "accepted": 4})
    third = run_task(batch(people(6), **{**given, "on_unknown": "hold"}), store=store, try_number=3)
    assert counts(third) == {"unknown": 2, "accepted": 4}
    assert sandbox.requests_seen == before
    rows = {row.to: row for row in rows_in(tmp_path / "results")}
    assert {to: row.message_id for to, row in rows.items() if row.outcome == "accepted"} == sent
    found = rows[number(1)]
    assert (found.reason and found.reason.code) == "settled_as_sent"
    assert "settled as sent: by look-up at" in str(found.error)
    assert "found in the vendor's SMS log, sent at" in str(found.error)
    why = str(found.error).partition("found in ")[2]
    assert scrub(why) == why, "pages would mask the date as a number"
    if kept:
        assert table(tmp_path, "outcome, message_id, reason_code, settled_by")[1] == (
            "accepted",
            sent[number(1)],
            "connection_broken",
            "look-up",
        )


@needs_store
@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"logs_scope": False}, "sms:logs:read"),
        ({"logs_limit": 1}, "HTTP 429"),
        ({"logs_lag": 3600.0}, "0 of 2 invites"),
    ],
)
def test_logs_that_cannot_be_read_or_lag_leave_them_unknown_and_say_why_once(sandbox_of, capfd, settings, says):
    sandbox = sandbox_of(**settings)
    sandbox.script("drop-after", "drop-after")
    store: dict[str, Any] = {}
    given = {"on_unknown": "lookup", "retry_budget": 0.2}
    run_task(batch(people(5), **given), store=store)
    if "logs_limit" in settings:  # what the vendor lets this account ask for is used up
        requests.get(f"{sandbox.url}/sms/3/logs", auth=sandbox.auth, timeout=PATIENCE_SECONDS)
    capfd.readouterr()
    again = run_task(batch(people(8), **given), store=store, try_number=2)
    assert counts(again) == {"unknown": 2, "accepted": 6}  # and the others were sent
    assert sandbox.requests_seen == 8
    assert "".join(capfd.readouterr()).count(says) == 1


@needs_store
def test_two_messages_to_the_number_decide_nothing(sandbox_of, kept):
    sandbox = sandbox_of()
    sandbox.script("drop-after")
    store: dict[str, Any] = {}
    run_task(batch(people(1), on_unknown="lookup", **kept), store=store)
    other = batch(people(1), task_id="other")
    assert run_task(other).succeeded
    again = run_task(batch(people(1), on_unknown="lookup", **kept), store=store, try_number=2)
    assert counts(again) == {"unknown": 1}
    assert sandbox.requests_seen == 2


@needs_store
def test_the_invite_of_another_campaign_is_not_taken_for_this_one(sandbox_of, ledger):
    sandbox = sandbox_of()
    sandbox.script("drop-before")
    assert counts(run_task(batch(people(1), campaign="spring", **ledger))) == {"unknown": 1}
    assert run_task(batch(people(1), campaign="summer", task_id="other", **ledger)).succeeded
    again = run_task(batch(people(1), campaign="spring", on_unknown="lookup", **ledger), try_number=2)
    assert counts(again) == {"unknown": 1}
    assert sandbox.requests_seen == 2


@needs_store
def test_a_message_of_long_before_is_not_taken_for_the_claim(sandbox_of, ledger, tmp_path):
    sandbox = sandbox_of()
    assert run_task(batch(people(1), task_id="before")).succeeded  # now
    sandbox.script("drop-before")
    run_task(batch(people(1), **ledger))
    later = f"{datetime.now(UTC) + timedelta(minutes=10):%Y-%m-%d %H:%M:%S}"
    with sqlite3.connect(tmp_path / "ledger.sqlite") as database:
        database.execute("UPDATE omnichat_invites SET claimed_at = ?, ended_at = ?", (later, later))
    again = run_task(batch(people(1), on_unknown="lookup", **ledger), try_number=2)
    assert counts(again) == {"unknown": 1}


@needs_store
@pytest.mark.parametrize(("fault", "state"), [("drop-after", "success"), ("drop-before", "failed")])
def test_a_single_invite_is_looked_up_and_never_sent_again(sandbox_of, kept, fault, state):
    sandbox = sandbox_of()
    sandbox.script(fault)
    store: dict[str, Any] = {}
    assert run_task(invite(on_unknown="lookup", **kept), store=store).state == "failed"
    for _ in range(2):
        again = run_task(invite(on_unknown="lookup", **kept), store=store, try_number=2)
        assert again.state == state, again.error
        if state == "success":
            assert again.xcom["messageId"] == sandbox.accepted[0].message_id
    assert sandbox.requests_seen == 1


class TestOperator:
    def settling(self, **given: Any) -> SettleInvitesOperator:
        return SettleInvitesOperator(task_id="settle", patience=0, **{"campaign": "spring", **given})

    def test_all_who_are_found_are_settled(self, sandbox_of, ledger, tmp_path):
        sandbox = sandbox_of()
        sandbox.script("drop-after", "drop-before", "500-after")
        first = run_task(batch(people(5), campaign="spring", concurrency=1, **ledger))
        assert counts(first) == {"unknown": 3, "accepted": 2}
        before = sandbox.requests_seen
        for campaign, found in (("spring", 2), (first.xcom["return_value"], 0)):
            done = run_task(self.settling(campaign=campaign, **ledger))
            assert done.succeeded, done.error
            expected = {"campaign": "spring", "found": found, "still_in_doubt": 1}
            assert done.xcom["return_value"] == expected
        assert sandbox.requests_seen == before
        assert [outcome for (outcome,) in table(tmp_path, "outcome")].count("accepted") == 4
        assert counts(run_task(batch(people(5), campaign="spring", **ledger), try_number=2)) == {
            "unknown": 1,
            "accepted": 4,
        }
        assert sandbox.requests_seen == before

    def test_a_doubt_sent_again_in_vain_is_looked_for_at_the_time_of_its_first_claim(
        self, sandbox_of, ledger, tmp_path
    ):
        sandbox_of().script("drop-after", "429")
        given = {"campaign": "spring", "retry_budget": 0, **ledger}
        run_task(batch(people(1), **given))
        assert counts(run_task(batch(people(1), on_unknown="resend", **given), try_number=2)) == {"unknown": 1}
        with sqlite3.connect(tmp_path / "ledger.sqlite") as database:
            database.execute("UPDATE omnichat_invites SET claimed_at = ?", (stamp(NOW + timedelta(hours=2)),))
        assert run_task(self.settling(**ledger)).xcom["return_value"]["found"] == 1

    def test_a_message_between_the_claim_and_an_undone_settlement_is_not_taken_for_the_invite(
        self, sandbox_of, ledger, tmp_path
    ):
        sandbox_of().script("drop-before")
        run_task(batch(people(1), campaign="spring", **ledger))
        assert run_task(batch(people(1), task_id="other")).succeeded
        before = stamp(NOW - timedelta(hours=2))
        with sqlite3.connect(tmp_path / "ledger.sqlite") as database:
            database.execute("UPDATE omnichat_invites SET claimed_at = ?, ended_at = ?", (before, before))
        with closing(LedgerAdmin(ledger_database("ledger"))) as admin:
            assert admin.settle("spring", {number(0): Settlement(False, "ann", "a mistake", NOW)}) == {}
            assert admin.undo("spring", [number(0)], "ann") == {}
        assert run_task(self.settling(**ledger)).xcom["return_value"]["found"] == 0

    def test_a_message_between_two_requests_in_doubt_is_not_taken_for_either(self, sandbox_of, ledger, tmp_path):
        sandbox_of().script("drop-before", "drop-before")
        given = {"campaign": "spring", "retry_budget": 0, **ledger}
        run_task(batch(people(1), **given))
        assert counts(run_task(batch(people(1), on_unknown="resend", **given), try_number=2)) == {"unknown": 1}
        assert run_task(batch(people(1), task_id="other")).succeeded
        first, last = (stamp(NOW + timedelta(hours=hours)) for hours in (-2, 2))
        with sqlite3.connect(tmp_path / "ledger.sqlite") as database:
            database.execute(
                "UPDATE omnichat_invites SET first_at = ?, claimed_at = ?, ended_at = ?", (first, last, last)
            )
        assert run_task(self.settling(**ledger)).xcom["return_value"]["found"] == 0

    def test_without_the_scope_it_fails_and_says_what_is_missing(self, sandbox_of, ledger):
        sandbox_of(logs_scope=False).script("drop-after")
        run_task(batch(people(1), campaign="spring", **ledger))
        done = run_task(self.settling(**ledger))
        assert isinstance(done.error, SmsLogsError)
        assert "sms:logs:read" in str(done.error)
        assert done.xcom["return_value"] == {"campaign": "spring", "found": 0, "still_in_doubt": 1}

    def test_a_mistyped_campaign_fails_and_one_of_an_empty_list_does_not(self, sandbox_of, ledger):
        sandbox_of()
        run_task(batch(people(1), campaign="spring", **ledger))
        empty = run_task(batch([], campaign="summer", **ledger)).xcom["return_value"]
        assert run_task(self.settling(campaign=empty, **ledger)).xcom["return_value"]["still_in_doubt"] == 0
        done = run_task(self.settling(campaign="Spring", **ledger))
        assert done.state == "failed"
        assert "has no invite of campaign 'Spring'; check its name" in str(done.error)

    @pytest.mark.parametrize("wrong", [{}, {"campaign": None}, ["spring"], 7.5])
    def test_what_names_no_campaign_is_refused(self, sandbox_of, ledger, wrong):
        sandbox_of()
        done = run_task(self.settling(campaign=wrong, **ledger))
        assert done.state == "failed"
        assert "campaign" in str(done.error)
