"""All pages, from a task's row in Airflow's metadata database to what a user sees, on every database and Airflow."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest
from airflow.api_fastapi.app import create_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api.security import get_user
from airflow.models.taskinstance import TaskInstance
from fastapi.testclient import TestClient
from sqlalchemy import Engine, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.ledger.interface import Entry
from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from airflow_provider_omnichat.campaign.ledger.task_state_journal import StateStoreJournal
from airflow_provider_omnichat.hooks.databases import ledger_database
from airflow_provider_omnichat.plugins.invites import app, metadata
from airflow_provider_omnichat.tasks import places
from tests.support.airflow_versions import AIRFLOW, HAS_STATE_STORE
from tests.support.lines_place import BareLines, Lines, kind_of
from tests.support.metadata_database import DATABASES, add_task, metadata_database
from tests.support.result_rows import give, made
from tests.support.sql_claims import CAMPAIGN, claims_of

PAGES = ("task", "task.json", "rows.csv", "run")
DOUBT = r'data-recipient="([0-9a-f]+)" data-as="sent"'
CLAIMS = claims_of(3)


@pytest.fixture(scope="module", params=DATABASES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with metadata_database(request.param) as engine:
        yield engine


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        yield session


@pytest.fixture
def client(engine: Engine) -> TestClient:
    """The pages for an administrator."""
    create_auth_manager()
    made = app.create_app()
    made.dependency_overrides[get_user] = lambda: SimpleAuthManagerUser(username="anna", role="ADMIN")
    return TestClient(made)


@pytest.fixture(autouse=True)
def ledger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fields = {"conn_type": "sqlite", "host": str(tmp_path / "ledger.db")}
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps(fields))


def address(page: str, dag_id: str, map_index: int = -1) -> str:
    return f"/{page}?dag_id={dag_id}&run_id=run&task_id=invite&map_index={map_index}"


def in_ledger(owner: str, *outcomes: Outcome) -> None:
    """Record an outcome for each of the first claims, in the table of the connection ``ledger``."""
    ledger = SqlLedger(ledger_database("ledger"), CAMPAIGN, owner)
    claims = CLAIMS[: len(outcomes)]
    ledger.claim(claims, ())
    ledger.record({claim.recipient: Entry.now(outcome) for claim, outcome in zip(claims, outcomes, strict=True)})
    ledger.flush()
    ledger.close()


def test_every_page_of_a_task_with_a_ledger(client: TestClient, session: Session) -> None:
    rendered = {"ledger_conn_id": "ledger"}
    counts = {"accepted": 2, "unknown": 1}
    add_task(session, "table", campaign=CAMPAIGN, rendered=rendered, counts=counts, rows=3)
    in_ledger("table/run/invite", Outcome.ACCEPTED, Outcome.ACCEPTED, Outcome.UNKNOWN)
    answers = {page: client.get(address(page, "table")) for page in PAGES}
    assert {page: answer.status_code for page, answer in answers.items()} == dict.fromkeys(PAGES, 200)
    assert answers["task.json"].json()["counts"] == counts
    assert answers["rows.csv"].text.count(",accepted,") == 2
    assert re.search(r"<b>2</b>\s*accepted", answers["task"].text)
    assert re.search(r"<b>2</b>\s*accepted", answers["run"].text)
    (doubt,) = re.findall(DOUBT, answers["task"].text)
    assert settled(client, "table", doubt) == 200
    assert not re.findall(DOUBT, client.get(address("task", "table")).text)


def test_a_new_kind_of_place_is_listed_or_says_what_it_lacks(
    client: TestClient, session: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "rows.lines"
    add_task(session, "new", results=str(path), rendered={"results_path": str(path)}, counts={"accepted": 60}, rows=60)
    monkeypatch.setattr(places, "KINDS", {"lines": kind_of(Lines), **places.KINDS})
    Lines(str(path)).write(give(*(made(at) for at in range(1, 61))))
    page = client.get(address("task", "new")).text
    assert (page.count('class="key">c'), "Next rows" in page) == (50, True)
    assert client.get(address("rows.csv", "new")).text.count(",accepted,") == 60
    monkeypatch.setattr(places, "KINDS", {**places.KINDS, "lines": kind_of(BareLines)})
    lacks = f"The rows are in {path}. A place of the kind &#39;lines&#39; cannot be read a page at a time"
    page = client.get(address("task", "new")).text
    assert (lacks in page, "No row matches" in page, 'role="search"' in page) == (True, False, False)
    answer = client.get(address("rows.csv", "new"))
    assert (answer.status_code, "cannot be read a page at a time" in answer.text) == (404, True)


def test_a_place_that_this_server_does_not_know_is_named(client: TestClient, session: Session) -> None:
    where = "table spring of a warehouse"
    add_task(session, "unknown", results=where, rendered={"conn_id": "c"}, counts={"accepted": 1}, rows=1)
    assert f"The rows are in {where}, a kind of place" in client.get(address("task", "unknown")).text


def settled(client: TestClient, dag_id: str, doubt: str, map_index: int = -1) -> int:
    page = client.get(address("task", dag_id, map_index)).text
    token = re.search(r'data-token="([^"]+)"', page)
    assert token
    body = {"recipients": [doubt], "settled_as": "sent", "why": "seen in the portal"}
    answer = client.post(address("settle", dag_id, map_index), json=body, headers={"X-CSRF-Token": token[1]})
    return int(answer.status_code)


def test_campaigns_of_these_days(client: TestClient, session: Session) -> None:
    add_task(session, "today", at=datetime.now(UTC), campaign="spring")
    add_task(session, "long_ago", campaign="autumn")
    page = client.get("/campaigns?days=1")
    assert page.status_code == 200
    assert "spring" in page.text
    assert "autumn" not in page.text


@pytest.mark.skipif(not HAS_STATE_STORE, reason="the task state store came with Airflow 3.3")
@pytest.mark.parametrize("map_index", [-1, 4])
def test_a_doubt_in_the_task_state_store_is_shown_and_settled(
    client: TestClient, session: Session, map_index: int
) -> None:
    from airflow_provider_omnichat.plugins.invites.state_store import ServerSideStore

    dag_id = f"stored_{map_index}"
    for index in {map_index, -1 if map_index < 0 else 5}:
        add_task(
            session, dag_id, map_index=index, campaign=CAMPAIGN, rendered={}, counts={"unknown": 1}, state="failed"
        )
    (task,) = metadata.tasks_of_run(session, dag_id, "run", "invite", map_index)
    journal = StateStoreJournal(ServerSideStore(session, task), CAMPAIGN)
    journal.claim(CLAIMS[:1], ())
    journal.record({CLAIMS[0].recipient: Entry.now(Outcome.UNKNOWN)})
    journal.flush()
    session.commit()
    page = client.get(address("task", dag_id, map_index))
    (doubt,) = re.findall(DOUBT, page.text)
    assert CLAIMS[0].recipient.startswith(doubt)
    assert settled(client, dag_id, doubt, map_index) == 200
    assert not re.findall(DOUBT, client.get(address("task", dag_id, map_index)).text)


@pytest.mark.skipif(AIRFLOW < (3, 4), reason="a row for each try came with Airflow 3.4")
def test_what_an_earlier_try_pushed_is_not_shown(client: TestClient, session: Session) -> None:
    add_task(session, "tried", campaign=CAMPAIGN, rendered={"ledger_conn_id": "ledger"})
    first = session.scalar(select(TaskInstance).where(TaskInstance.dag_id == "tried"))
    assert first is not None
    first.archive(reason="retry", session=session)
    session.commit()
    assert client.get(address("task", "tried")).status_code == 404
    assert not metadata.tasks_of_run(session, "tried", "run")
    assert not metadata.recent_tasks(session, first.end_date, ["tried"], 10).tasks


@pytest.mark.parametrize("error", [AttributeError("map_index"), OperationalError("SELECT 1", {}, Exception("gone"))])
def test_a_database_that_answers_otherwise_than_expected_is_named_on_every_page(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*_: object) -> None:
        raise error

    for name in ("tasks_of_run", "dags_with_campaigns"):
        monkeypatch.setattr(app, name, refuse)
    for page in (*(address(page, "table") for page in PAGES), "/campaigns"):
        answer = client.get(page)
        assert answer.status_code == 503
        assert f"Airflow {version('apache-airflow')}&#39;s metadata database cannot be read" in answer.text
        assert type(error).__name__ in answer.text
        assert "Content-Security-Policy" in answer.headers
