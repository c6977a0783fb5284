"""All pages, from a task's row in Airflow's metadata database to what a user sees, on every database and Airflow."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html import unescape
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api.security import get_user
from airflow.models.log import Log
from airflow.models.taskinstance import TaskInstance
from sqlalchemy import Engine, select
from sqlalchemy.exc import OperationalError

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.privacy import mask_number
from airflow_provider_omnichat.campaign.ledger.interface import Entry
from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from airflow_provider_omnichat.campaign.ledger.task_state_journal import StateStoreJournal
from airflow_provider_omnichat.hooks.databases import ledger_database
from airflow_provider_omnichat.plugins.invites import access, app, doubts, metadata
from airflow_provider_omnichat.tasks import places
from tests.support.airflow_versions import AIRFLOW, HAS_STATE_STORE
from tests.support.lines_place import BareLines, Lines, kind_of
from tests.support.metadata_database import DATABASES, add_task, metadata_database
from tests.support.result_rows import give, made
from tests.support.sql_claims import CAMPAIGN, claims_of

if TYPE_CHECKING:
    from fastapi.testclient import TestClient
    from sqlalchemy.orm import Session

PAGES = ("task", "task.json", "rows.csv", "run")
DOUBT = r'data-recipient="([0-9a-f]+)" data-as="sent"'
REVEAL = r'data-reveal="([0-9a-f]+)"'
CLAIMS = claims_of(3)


@pytest.fixture(scope="module", params=DATABASES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with metadata_database(request.param) as engine:
        yield engine


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


def posted(client: TestClient, dag_id: str, page: str, **body: Any) -> Any:
    """Send what the page would, with its token."""
    token = re.search(r'data-token="([^"]+)"', client.get(address("task", dag_id)).text)
    assert token
    return client.post(address(page, dag_id), json=body, headers={"X-CSRF-Token": token[1]})


def logged(session: Session, event: str) -> list[tuple[str, str]]:
    """What the audit log has."""
    session.rollback()
    rows = session.execute(select(Log.dag_id, Log.owner, Log.extra).where(Log.event == event)).all()
    assert not any(claim.identity in str(row) for row in rows for claim in CLAIMS)
    return [(str(dag_id), str(owner)) for dag_id, owner, _ in rows]


def test_a_number_in_the_ledger_is_revealed_to_who_may_settle_and_the_audit_log_has_it(
    client: TestClient, session: Session
) -> None:
    add_task(session, "known", campaign=CAMPAIGN, rendered={"ledger_conn_id": "ledger"}, counts={"unknown": 2})
    in_ledger("known/run/invite", Outcome.UNKNOWN, Outcome.UNKNOWN)
    page = client.get(address("task", "known")).text
    assert not any(claim.identity in page or claim.recipient[:8] in page for claim in CLAIMS)
    first, second = re.findall(REVEAL, page)
    answer = posted(client, "known", "reveal", recipient=second)
    assert (answer.json(), answer.headers["Cache-Control"]) == ({"number": CLAIMS[1].identity}, "no-store")
    assert logged(session, "omnichat_reveal_number") == [("known", "anna")]
    assert client.get(f"{address('reveal', 'known')}&recipient={first}").status_code == 405
    assert client.post(address("reveal", "known"), json={"recipient": first}).status_code == 403, "no token"
    assert posted(client, "known", "settle", recipients=[first], settled_as="sent", why="seen").status_code == 200
    gone = posted(client, "known", "reveal", recipient=first)
    assert (gone.status_code, "number is not kept" in gone.text) == (404, True)
    client.app.dependency_overrides[get_user] = lambda: SimpleAuthManagerUser(username="eve", role="VIEWER")  # type: ignore[attr-defined]
    page = client.get(address("task", "known")).text
    assert ("customer-0001" in page, re.findall(REVEAL, page)) == (True, [])
    assert client.post(address("reveal", "known"), json={"recipient": second}).status_code == 403


@pytest.mark.skipif(not HAS_STATE_STORE, reason="the task state store came with Airflow 3.3")
def test_a_number_that_only_the_rows_have_is_revealed(
    client: TestClient, session: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from airflow_provider_omnichat.plugins.invites.state_store import ServerSideStore

    path = tmp_path / "rows.lines"
    monkeypatch.setattr(places, "KINDS", {"lines": kind_of(Lines), **places.KINDS})
    monkeypatch.setattr(doubts, "_ROWS_AT_ONCE", 1)  # it is not among the first
    rendered = {"results_path": str(path)}
    add_task(session, "rows", campaign=CAMPAIGN, rendered=rendered, counts={"unknown": 3}, state="failed")
    Lines(str(path)).write(
        give(*(made(at, Outcome.UNKNOWN, to=claim.identity) for at, claim in enumerate(CLAIMS[:2], 1)))
    )
    (task,) = metadata.tasks_of_run(session, "rows", "run", "invite")
    journal = StateStoreJournal(ServerSideStore(session, task), CAMPAIGN)
    journal.claim(CLAIMS, ())
    journal.record({claim.recipient: Entry.now(Outcome.UNKNOWN) for claim in CLAIMS[:2]})
    journal.flush()
    session.commit()
    page = client.get(address("task", "rows")).text
    assert len(re.findall(DOUBT, page)) == 3
    _, second = re.findall(REVEAL, page)  # of the open claim, the rows have nothing
    assert not any(claim.identity in page for claim in CLAIMS)
    assert posted(client, "rows", "reveal", recipient=second).json() == {"number": CLAIMS[1].identity}


def test_a_ledger_that_cannot_be_reached_reveals_nothing(client: TestClient, session: Session) -> None:
    add_task(session, "lost", campaign=CAMPAIGN, rendered={"ledger_conn_id": "nowhere"}, counts={"unknown": 1})
    user = SimpleAuthManagerUser(username="anna", role="ADMIN")
    headers = {"X-CSRF-Token": access.write_token(user, "lost")}
    answer = client.post(address("reveal", "lost"), json={"recipient": "0" * 32}, headers=headers)
    assert (answer.status_code, "cannot reach the ledger" in answer.text) == (409, True)


def test_all_doubts_can_be_reached_a_page_at_a_time(
    client: TestClient, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doubts, "MOST_DOUBTS", 2)
    add_task(session, "many", campaign=CAMPAIGN, rendered={"ledger_conn_id": "ledger"}, counts={"unknown": 3})
    in_ledger("many/run/invite", *[Outcome.UNKNOWN] * 3)
    found, at = [], address("task", "many")
    for _ in range(2):
        page = client.get(at).text
        (section,) = re.findall(r'id="doubts">.*?</section>', page, re.S)
        found.append(re.findall(r'class="key">(\S+)</td>', section))
        following = re.search(r'href="(task[^"]+)#doubts">Next doubts', page)
        at = "/" + unescape(following[1]) if following else ""
    assert found == [["customer-0000", "customer-0001"], ["customer-0002"]]
    assert not at
    assert "Doubts 3 to 3." in page
    assert "First doubts" in page


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
    journal.claim([CLAIMS[0]._replace(key="customer-1")], ())
    journal.record({CLAIMS[0].recipient: Entry.now(Outcome.UNKNOWN)})
    journal.flush()
    session.commit()
    page = client.get(address("task", dag_id, map_index))
    (doubt,) = re.findall(DOUBT, page.text)
    assert CLAIMS[0].recipient[:8] not in page.text
    assert (">customer-1<" in page.text, mask_number(CLAIMS[0].identity) in page.text) == (True, True)
    assert not re.findall(REVEAL, page.text), "the whole number is not kept"
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


@pytest.mark.parametrize(
    "error",
    [
        AttributeError("map_index"),
        KeyError("map_index"),
        ImportError("moved"),
        NotImplementedError("gone"),
        OperationalError("SELECT 1", {}, Exception("gone")),
    ],
)
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
