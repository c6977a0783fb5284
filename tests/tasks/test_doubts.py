"""SettleInvitesOperator for a task without a SQL ledger: its doubts, its list, and the vendor's logs, all by HTTP."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.api.identity import recipient_key
from airflow_provider_omnichat.campaign.ledger.interface import Claim, Settlement
from airflow_provider_omnichat.campaign.ledger.task_state_doubts import settle_in_store, standing_in_store
from airflow_provider_omnichat.campaign.ledger.task_state_journal import StateStoreJournal
from airflow_provider_omnichat.operators.omnichat import SettleInvitesOperator
from airflow_provider_omnichat.sandbox import Sandbox, Settings
from tests.support.airflow_api import AirflowApi, airflow_api
from tests.support.airflow_harness import TaskRun, run_task
from tests.support.airflow_versions import needs_store
from tests.support.batch_tasks import XCom, batch, counts, number, people, rows_in
from tests.support.single_tasks import invite
from tests.support.state_store import ListedStore, Store

TASK = "invites/run-1/invite"
GIVEN: dict[str, Any] = {"send_task_id": "invite", "invites": people(6), "api_conn_id": "airflow_api"}


@pytest.fixture
def vendor(hook_for: Callable[..., Any]) -> Iterator[Sandbox]:
    with Sandbox(seed=1, settings=Settings(delivery_after=(0.0, 0.0))) as server:
        hook_for(server)
        yield server


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[AirflowApi]:
    with airflow_api() as server:
        monkeypatch.setenv("AIRFLOW_CONN_AIRFLOW_API", server.connection())
        server.stores[TASK] = Store()
        yield server


def settling(**given: Any) -> SettleInvitesOperator:
    return SettleInvitesOperator(task_id="settle", patience=0, **{**GIVEN, **given})


def settle(*, state: str | None = "failed", upstream: Any = None, **given: Any) -> TaskRun:
    """Run the operator while Airflow says that the task that sent is in this state; None if there is none."""

    def airflow_says(message: Any) -> Any:
        if type(message).__name__ != "GetTaskStates":
            return None
        from airflow.sdk.execution_time.comms import TaskStatesResult

        assert (message.dag_id, message.task_ids, message.run_ids) == ("invites", ["invite"], ["run-1"])
        return TaskStatesResult(task_states={"run-1": {"invite": state}} if state else {})

    return run_task(settling(**given), on_message=airflow_says, upstream=upstream)


def said(run: TaskRun) -> tuple[int, int]:
    value = run.xcom["return_value"]
    assert value["campaign"] == TASK
    return value["found"], value["still_in_doubt"]


@needs_store
class TestTask:
    def test_who_is_found_is_accepted_and_a_cleared_task_sends_nobody_twice(
        self, vendor: Sandbox, api: AirflowApi, tmp_path: Path
    ) -> None:
        vendor.script("ok", "drop-after", "drop-before", "500-after", "429")
        send = {"results_path": str(tmp_path), "concurrency": 1, "retry_budget": 0}
        first = run_task(batch(people(6), **send), store=api.stores[TASK])
        assert counts(first) == {"accepted": 1, "unknown": 3, "not_sent": 2}
        before = vendor.requests_seen

        done = settle()
        assert done.succeeded, done.error
        assert said(done) == (2, 1)
        assert said(settle()) == (0, 1)
        assert vendor.requests_seen == before
        again = run_task(batch(people(6), **send), store=api.stores[TASK], try_number=2)
        assert counts(again) == {"accepted": 5, "unknown": 1}
        assert vendor.requests_seen == before + 2
        assert len({sms.to for sms in vendor.accepted}) == len(vendor.accepted) == 5
        (row, *_) = [row for row in rows_in(tmp_path) if row.to == number(1)]
        assert "settled as sent: by look-up at" in str(row.error)
        assert "found in the vendor's SMS log, sent at" in str(row.error)

    def test_open_claims_of_a_dead_worker_are_looked_up(self, vendor: Sandbox, api: AirflowApi) -> None:
        run_task(batch(people(2), task_id="other"))  # what the dead worker sent
        store = api.stores[TASK]
        begin(store)
        journal = StateStoreJournal(store, TASK)
        journal.claim([Claim(recipient_key(TASK, number(at)), number(at)) for at in range(3)], ())
        assert said(settle()) == (2, 1)
        assert standing_in_store(ListedStore(store), TASK).standing.settled == {"sent": 2}

    @pytest.mark.parametrize(("fault", "found"), [("drop-after", 1), ("drop-before", 0)])
    def test_a_single_invite_is_settled_too(self, vendor: Sandbox, api: AirflowApi, fault: str, found: int) -> None:
        vendor.script(fault)
        assert run_task(invite(), store=api.stores[TASK]).state == "failed"
        assert said(settle(invites={"to": "079 302 67 27"}, default_region="CH")) == (found, 1 - found)
        again = run_task(invite(), store=api.stores[TASK], try_number=2)
        assert again.succeeded is bool(found)
        assert vendor.requests_seen == 1

    @pytest.mark.parametrize("sends", [batch, lambda rows, **given: invite(to=rows[0]["to"], **given)])
    def test_an_id_of_ours_tells_two_messages_to_one_person_apart(
        self, vendor: Sandbox, api: AirflowApi, sends: Callable[..., Any]
    ) -> None:
        vendor.script("drop-after")
        first = run_task(sends(people(1), link="https://t.me/acme_bot"), store=api.stores[TASK])
        assert first.state == "failed"
        assert run_task(batch(people(1), task_id="other")).succeeded
        assert said(settle()) == (1, 0)
        assert vendor.requests_seen == 2

    def test_what_was_sent_once_more_has_a_campaign_of_its_own(self, vendor: Sandbox, api: AirflowApi) -> None:
        vendor.script("drop-after")
        run_task(batch(people(1), resend_key="b"), store=api.stores[TASK])
        done = settle()
        assert done.xcom["return_value"] == {"campaign": f"{TASK}#b", "found": 1, "still_in_doubt": 0}

    def test_what_somebody_settles_at_that_moment_stays_settled(self, vendor: Sandbox, api: AirflowApi) -> None:
        vendor.script("drop-after", "drop-before")
        run_task(batch(people(2), concurrency=1), store=api.stores[TASK])

        def settle_the_other(count: int) -> None:
            if count == 4:  # a token and two pages to read all; now it is read again, to write
                name = recipient_key(TASK, number(1))[:20]
                what = Settlement(False, "ann", "as the portal says", datetime.now(UTC))
                assert settle_in_store(ListedStore(api.stores[TASK]), TASK, {name: what}) == {}

        api.before = settle_the_other
        assert settle().xcom["return_value"]["found"] == 1
        standing = standing_in_store(ListedStore(api.stores[TASK]), TASK).standing
        assert standing.settled == {"sent": 1, "not_sent": 1}


def begin(store: dict[str, Any]) -> None:
    """Leave what a try of a batch leaves before it sends."""
    run_task(batch([], on_empty="succeed"), store=store)


@needs_store
class TestList:
    @pytest.fixture(autouse=True)
    def doubts(self, vendor: Sandbox, api: AirflowApi) -> None:
        vendor.script("drop-after", "drop-after")
        assert counts(run_task(batch(people(2)), store=api.stores[TASK])) == {"unknown": 2}

    def test_people_who_are_not_in_it_stay_in_doubt(self, capfd: Any, caplog: Any) -> None:
        assert said(settle(invites=[*people(1), {"to": "nobody"}, {"other": 1}])) == (1, 1)
        log = "".join(capfd.readouterr()) + caplog.text
        assert "1 of 2 in doubt are not in invites, and cannot be looked up" in log
        assert number(0) not in log

    def test_it_comes_from_a_query(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = str(tmp_path / "people.sqlite")
        with sqlite3.connect(path) as database:
            database.execute("CREATE TABLE people (Mobile TEXT, country TEXT, kind TEXT)")
            mobiles = [(f"0{number(at)[2:]}", "CH", "new") for at in range(2)]
            database.executemany("INSERT INTO people VALUES (?, ?, ?)", mobiles)
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": path}))
        sql = "SELECT * FROM people WHERE kind = ?"
        query = {"conn_id": "warehouse", "sql": sql, "parameters": ["new"]}
        assert said(settle(invites=query, to_column="mobile", region_column="country")) == (2, 0)

    def test_it_comes_from_a_file_or_from_other_tasks(self, tmp_path: Path) -> None:
        file = tmp_path / "list.csv"
        file.write_text(f"to\n+{number(0)}\n")
        assert said(settle(invites=str(file))) == (1, 1)
        assert said(settle(invites=XCom(None), upstream={"find": [people(1), people(2)]})) == (1, 0)

    def test_a_wrong_column_is_an_error_and_shows_nobody(self) -> None:
        done = settle(to_column="phone")
        assert done.state == "failed"
        assert "invites: no row has a column 'phone'" in str(done.error)
        assert done.rendered["invites"] == "<list of 6 rows>"


@needs_store
class TestRefused:
    @pytest.mark.parametrize(
        ("state", "says"),
        [
            ("running", f"{TASK} has not ended. Run this task after it, with trigger_rule='all_done'"),
            ("up_for_retry", f"{TASK} has not ended"),
            (None, f"Airflow has no task instance {TASK}; check send_dag_id, send_run_id and send_task_id"),
        ],
    )
    def test_a_task_that_has_not_ended(self, vendor: Sandbox, api: AirflowApi, state: str | None, says: str) -> None:
        done = settle(state=state)
        assert done.state == "failed"
        assert says in str(done.error)
        assert api.asked == []

    def test_a_task_with_a_sql_ledger(self, vendor: Sandbox, api: AirflowApi, ledger: dict[str, Any]) -> None:
        run_task(batch(people(1), campaign="spring", **ledger), store=api.stores[TASK])
        done = settle()
        assert "uses the ledger ledger/omnichat_invites; give its campaign and ledger_conn_id" in str(done.error)

    def test_a_user_who_may_not_edit_it(self, vendor: Sandbox, api: AirflowApi) -> None:
        vendor.script("drop-after")
        run_task(batch(people(1)), store=api.stores[TASK])
        api.refusals = {"PUT": 403}
        done = settle()
        assert "the connection's user may not read and edit the task instances" in str(done.error)
        assert said(done) == (0, 1)

    def test_a_task_that_was_skipped_has_no_doubts(self, vendor: Sandbox, api: AirflowApi) -> None:
        assert said(settle(state="skipped", invites="/no/such/list.csv")) == (0, 0)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"send_task_id": None}, "give campaign and ledger_conn_id; or, for a task without ledger_conn_id, send_task"),
        ({"campaign": "spring"}, "give campaign and ledger_conn_id; or"),
        ({"campaign": "spring", "ledger_conn_id": "ledger"}, "give campaign and ledger_conn_id; or"),
        ({"invites": None}, "Without them, clear the task that sent, with on_unknown='lookup', or settle its doubts"),
        ({"api_conn_id": None}, "send_task_id needs invites, since the task state store has no whole numbers, and"),
    ],
)
def test_arguments_that_are_missing_are_named_when_the_dag_is_parsed(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match="send_task_id") as raised:
        settling(**given)
    assert says in str(raised.value)
