"""What pages say of a task whose worker was killed, or whose doubts were settled: the same on each, and the truth."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.models.log import Log
from airflow.models.taskinstance import TaskInstance
from sqlalchemy import Engine, select

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.ledger.frequency_cap import CappedLedger, FrequencyCap
from airflow_provider_omnichat.campaign.ledger.interface import Entry
from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from airflow_provider_omnichat.campaign.ledger.task_state_journal import StateStoreJournal
from airflow_provider_omnichat.hooks.databases import ledger_database
from airflow_provider_omnichat.plugins.invites import metadata
from tests.support.airflow_versions import HAS_STATE_STORE
from tests.support.metadata_database import add_task, metadata_database
from tests.support.sql_claims import CAMPAIGN, claims_of

if TYPE_CHECKING:
    from fastapi.testclient import TestClient
    from sqlalchemy.orm import Session

CLAIMS = claims_of(6)
# Two accepted, one rejected, one in doubt, two claimed by the try that was killed.
OUTCOMES = [Outcome.ACCEPTED, Outcome.ACCEPTED, Outcome.REJECTED, Outcome.UNKNOWN]
NOW = "now is-due"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with metadata_database("sqlite") as engine:
        yield engine


@pytest.fixture(autouse=True)
def ledger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fields = {"conn_type": "sqlite", "host": str(tmp_path / "ledger.db")}
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps(fields))


@pytest.fixture(params=["table", pytest.param("store", marks=pytest.mark.skipif(not HAS_STATE_STORE, reason="3.3"))])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def left(session: Session, dag_id: str, kind: str, outcomes: list[Outcome], claims: int, **progress: Any) -> None:
    """Add a failed task, and what its ledger has."""
    rendered = {"ledger_conn_id": "ledger"} if kind == "table" else {"on_unknown": "hold"}
    add_task(session, dag_id, campaign=CAMPAIGN, rendered=rendered, state="failed", **{"reasons": [], **progress})
    made: Any
    if kind == "table":
        made = SqlLedger(ledger_database("ledger"), CAMPAIGN, f"{dag_id}/run/invite")
    else:
        from airflow_provider_omnichat.plugins.invites.state_store import ServerSideStore

        (task,) = metadata.tasks_of_run(session, dag_id, "run", "invite")
        made = StateStoreJournal(ServerSideStore(session, task), CAMPAIGN)
    made.claim(CLAIMS[:claims], ())
    made.record({claim.recipient: Entry.now(each) for claim, each in zip(CLAIMS, outcomes, strict=False)})
    made.flush()
    made.close()
    session.commit()


def address(page: str, dag_id: str) -> str:
    return f"/{page}?dag_id={dag_id}&run_id=run&task_id=invite&map_index=-1"


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def settle(client: TestClient, dag_id: str, recipients: list[str], settled_as: str, why: str = "in the portal") -> Any:
    token = re.search(r'data-token="([^"]+)"', client.get(address("task", dag_id)).text)
    assert token
    body = {"recipients": recipients, "settled_as": settled_as, "why": why}
    return client.post(address("settle", dag_id), json=body, headers={"X-CSRF-Token": token[1]})


def test_the_page_after_a_kill_has_what_the_ledger_knows(client: TestClient, session: Session, kind: str) -> None:
    dag_id = f"killed_{kind}"
    counts = {"accepted": 1, "invalid": 1}
    left(session, dag_id, kind, OUTCOMES, 6, counts=counts, rows=2, total=10, is_over=False)
    page = client.get(address("task", dag_id)).text
    assert "the worker died" in page
    said = text_of(page)
    assert "3 in doubt: settle them below. 3 of 10 were not reached: Clear sends only these." in said
    for shown in ("2 accepted", "1 rejected", "1 invalid", "3 not reached", "claim never ended"):
        assert shown in said
    told = client.get(address("task.json", dag_id)).json()
    assert told["counts"] == {"accepted": 2, "rejected": 1, "unknown": 3, "invalid": 1}
    assert "3 in doubt" in text_of(client.get(address("run", dag_id)).text)


def test_after_a_kill_those_over_the_frequency_cap_count_once(client: TestClient, session: Session) -> None:
    told = [{"outcome": "suppressed", "code": code, "count": 2} for code in ("frequency_cap", "opted_out")]
    left(session, "capped", "table", [], 0, counts={"suppressed": 4}, rows=4, total=12, is_over=False, reasons=told)
    for campaign, count in (("before", 3), (CAMPAIGN, 6)):
        ledger, claims = SqlLedger(ledger_database("ledger"), campaign, "capped/run/invite"), claims_of(count, campaign)
        taken = CappedLedger(ledger, FrequencyCap(1, timedelta(days=7))).claim(claims, ())
        ended = [claim.recipient for claim in claims if claim.recipient not in taken][:2]
        ledger.record(dict.fromkeys(ended, Entry.now(Outcome.ACCEPTED)))
        ledger.flush()
        ledger.close()
    told = client.get(address("task.json", "capped")).json()
    assert (told["counts"], told["rows"]) == ({"suppressed": 5, "accepted": 2, "unknown": 1}, 8)
    said = text_of(client.get(f"{address('task', 'capped')}&outcome=suppressed").text)
    assert "4 of 12 were not reached: Clear sends only these." in said
    assert "The ledger has only those over the frequency cap." in said


def test_the_campaigns_page_puts_a_killed_task_among_those_with_doubts(client: TestClient, session: Session) -> None:
    for dag_id, at in (("a_killed", "2026-11-01"), ("b_newer", "2026-11-03")):
        left(
            session,
            dag_id,
            "table",
            [],
            0,
            at=datetime.fromisoformat(f"{at}T08:00:00+00:00"),
            is_over=dag_id != "a_killed",
        )
    page = client.get("/campaigns?days=90&q=a_killed").text
    assert "the worker died" in page
    lines = client.get("/campaigns.csv?days=90&show=due").text
    assert ("a_killed" in lines, "b_newer" in lines) == (True, False)


def test_what_is_settled_counts_no_more_on_any_page_and_can_be_undone(
    client: TestClient, session: Session, kind: str
) -> None:
    dag_id = f"settled_{kind}"
    given = {"counts": {"accepted": 2, "rejected": 1, "unknown": 2}, "rows": 5, "total": 5, "is_over": True}
    left(session, dag_id, kind, [*OUTCOMES, Outcome.UNKNOWN], 5, **given)
    doubts = re.findall(r'data-choose="([0-9a-f]+)"', client.get(address("task", dag_id)).text)
    assert len(doubts) == 2
    assert settle(client, dag_id, doubts, "not_sent").json() == {"detail": "2 settled as not sent."}
    said = text_of(client.get(address("task", dag_id)).text)
    assert "2 were not sent: Clear sends only these." in said
    assert "by anna at" in said
    assert "in doubt: settle" not in said
    for page in (address("run", dag_id), f"/campaigns?days=90&q={dag_id}"):
        shown = text_of(client.get(page).text)
        assert ("2 not sent" in shown, "in doubt" in shown) == (True, False)
    assert settle(client, dag_id, doubts[:1], "in_doubt", "undone").json() == {"detail": "1 in doubt again."}
    assert settle(client, dag_id, doubts[:1], "sent").status_code == 200
    assert client.get(address("task.json", dag_id)).json()["counts"] == {
        "accepted": 3,
        "rejected": 1,
        "unknown": 0,
        "not_sent": 1,
    }
    refused = settle(client, dag_id, doubts[:1], "sent")
    assert (refused.status_code, "is not in doubt" in refused.json()["detail"]) == (409, True)
    logged = session.scalars(select(Log).where(Log.dag_id == dag_id).order_by(Log.id)).all()
    told = [json.loads(each.extra or "") for each in logged]
    assert [each["settled_as"] for each in told] == ["not_sent", "in_doubt", "sent"]
    if kind == "table":
        assert told[0]["row_keys"] == [CLAIMS[3].key, CLAIMS[4].key]


def test_a_reason_that_says_nothing_is_refused_in_words(client: TestClient, session: Session) -> None:
    left(session, "short", "table", [Outcome.UNKNOWN], 1, counts={"unknown": 1}, rows=1)
    answer = settle(client, "short", ["0" * 32], "sent", "x")
    assert (answer.status_code, "Say how you know" in answer.json()["detail"]) == (422, True)


def test_a_ledger_that_cannot_be_read_is_named(client: TestClient, session: Session) -> None:
    add_task(session, "gone", rendered={"ledger_conn_id": "nowhere"}, state="failed", counts={"unknown": 1}, rows=1)
    said = text_of(client.get(address("task", "gone")).text)
    assert "1 in doubt" in said
    assert "What is shown is what the task pushed last: Airflow&#39;s API server cannot reach the ledger" in said


def test_a_page_that_asks_whether_anything_changed_gets_no_rows(client: TestClient, session: Session) -> None:
    add_task(session, "idle", rendered={}, counts={"accepted": 1}, rows=1)
    for page in ("task", "run", "campaigns"):
        assert client.get(f"{address(page, 'idle')}&part=rows").status_code == 422, "no part of a page"
    whole, asked = client.get(address("task", "idle")), client.get(f"{address('task', 'idle')}&part=state")
    assert (asked.text, asked.headers["X-State"]) == ("", whole.headers["X-State"])
    assert f'data-state="{whole.headers["X-State"]}"' in whole.text
    found = session.query(TaskInstance).filter_by(dag_id="idle").one()
    found.state, found.try_number = "queued", 2
    session.commit()
    later = client.get(f"{address('task', 'idle')}&part=state")
    assert (later.headers["X-State"] != whole.headers["X-State"], later.headers["X-At-Work"]) == (True, "yes")


def test_people_get_a_page_and_programs_json_for_what_is_not_there(client: TestClient) -> None:
    page = client.get(address("task", "nowhere"), headers={"Accept": "text/html"})
    assert (page.status_code, "There is no such task or run." in page.text, "<main" in page.text) == (404, True, True)
    assert client.get(address("task", "nowhere")).json() == {"detail": "There is no such task or run"}


def test_doubts_of_another_run_are_settled_there_and_the_tab_leads_there(client: TestClient, session: Session) -> None:
    left(session, "first", "table", [Outcome.UNKNOWN] * 2, 2, counts={"unknown": 2}, rows=2)
    reasons = [
        {"outcome": "unknown", "code": "in_doubt_since_earlier_run", "count": 2, "first": ["c0", "c1"]},
        {"outcome": "unknown", "code": "read_timeout", "count": 1, "first": ["c5"]},
    ]
    rendered = {"ledger_conn_id": "ledger"}
    later: dict[str, Any] = {
        "counts": {"accepted": 4, "unknown": 3},
        "rows": 7,
        "total": 7,
        "reasons": reasons,
        "state": "failed",
    }
    add_task(session, "later", campaign=CAMPAIGN, rendered=rendered, **later)
    ledger = SqlLedger(ledger_database("ledger"), CAMPAIGN, "later/run/invite")
    ledger.claim(CLAIMS[5:6], ())
    ledger.record({CLAIMS[5].recipient: Entry.now(Outcome.UNKNOWN)})
    ledger.flush()
    ledger.close()

    page = client.get(address("task", "later")).text
    assert "1 in doubt: settle them below. 2 in doubt since another run: settle them there, see below." in text_of(page)
    assert '<a href="../dags/first/runs/run/tasks/invite/plugin/invites" data-airflow>first/run/invite</a>' in page
    assert "first/run/invite : 2 in doubt" in text_of(page)
    assert "in doubt since earlier run" in page
    assert "first/run/invite" not in client.get(address("task", "first")).text

    doubts = re.findall(r'data-choose="([0-9a-f]+)"', client.get(address("task", "first")).text)
    assert settle(client, "first", doubts[:1], "not_sent").status_code == 200
    said = text_of(client.get(address("task", "later")).text)
    assert "1 in doubt: settle them below. 1 in doubt since another run: settle them there, see below. 1 was" in said
    assert settle(client, "first", doubts[1:], "sent").status_code == 200
    said = text_of(client.get(address("task", "later")).text)
    assert "1 in doubt: settle them below. 1 was not sent: Clear sends only these." in said
    assert "another run" not in said
    told = client.get(address("task.json", "later")).json()
    assert told["counts"] == {"accepted": 4, "unknown": 1, "not_sent": 1, "duplicate": 1}
    assert told["rows"] == 7


def test_a_doubt_of_another_campaign_in_the_same_ledger_is_not_one_of_this(
    client: TestClient, session: Session
) -> None:
    reason = {"outcome": "unknown", "code": "in_doubt_since_earlier_run", "count": 1, "first": ["c0"]}
    given: dict[str, Any] = {"rendered": {"ledger_conn_id": "ledger"}, "state": "failed", "rows": 1}
    given["counts"] = {"unknown": 1}
    add_task(session, "mixed", campaign=CAMPAIGN, reasons=[reason], **given)
    add_task(session, "mixed", "other", campaign="other", reasons=[], **given)
    ended = {"earlier/run/invite": (CAMPAIGN, Outcome.ACCEPTED), "mixed/run/other": ("other", Outcome.UNKNOWN)}
    for owner, (campaign, outcome) in ended.items():
        ledger, (claim,) = SqlLedger(ledger_database("ledger"), campaign, owner), claims_of(1, campaign)
        ledger.claim([claim], ())
        ledger.record({claim.recipient: Entry.now(outcome)})
        ledger.flush()
        ledger.close()
    said = text_of(client.get(address("run", "mixed")).text)
    assert ("1 in doubt in 1 of the tasks" in said, "1 duplicate" in said) == (True, True)
    due = client.get("/campaigns.csv?days=90&show=due&q=mixed").text.splitlines()
    assert ([CAMPAIGN in line for line in due[1:]], len(due)) == ([False], 2)
