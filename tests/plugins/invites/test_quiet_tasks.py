"""Tabs of tasks that send nothing: a dry run and who approved it, a sensor, one that settles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_omnichat.campaign.preview.markdown import markdown_of
from airflow_provider_omnichat.campaign.preview.statistics import Preview as Statistics
from airflow_provider_omnichat.plugins.invites import access
from tests.support.metadata_database import DATABASES, SENT_AT, add_question, add_task, metadata_database

if TYPE_CHECKING:
    from fastapi.testclient import TestClient
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

HOSTILE = "<script>alert(1)</script> [a](javascript:alert(1)) ![b](http://x/y) <http://x> **bold** \"'"
MARKDOWN = "## Dry run: nothing was sent\n\n**3** people\n\n| A | B |\n| --- | --- |\n| 1 | 2 |\n\n> Hi Ada\n"
APPROVED = {"chosen_options": ["Approve"], "responded_at": SENT_AT, "responded_by": {"id": "7", "name": "Grace"}}
BATCH = {"omnichat_conn_id": "c", "message": "a text"}
FOLLOWER = {"omnichat_conn_id": "c", "ledger_table": "t"}


@pytest.fixture(scope="module", params=DATABASES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with metadata_database(request.param) as engine:
        yield engine


def tab(client: TestClient, dag_id: str, task_id: str, **more: str) -> str:
    """The HTML of a tab."""
    which = {"dag_id": dag_id, "run_id": "run", "task_id": task_id, "map_index": "-1", **more}
    answer = client.get("/task", params=which)
    assert answer.status_code == 200, answer.text
    return str(answer.text)


def said(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def dry_run(session: Session, dag_id: str, markdown: str = MARKDOWN, task_id: str = "preview") -> None:
    add_task(session, dag_id, task_id, xcoms={"markdown": markdown, "fingerprint": "f00d"}, rendered=BATCH)


def test_a_dry_run_shows_its_preview_and_fingerprint(client: TestClient, session: Session) -> None:
    dry_run(session, "dry")
    page = tab(client, "dry", "preview")
    for piece in ("<h2>Dry run: nothing was sent</h2>", "<strong>3</strong>", "<td>2</td>", "<blockquote>", "f00d"):
        assert piece in page
    assert "no answer in this run" in said(page)
    run = client.get("/run", params={"dag_id": "dry", "run_id": "run"}).text
    assert ("has sent no invites" in run, "Dry run: preview" in said(run)) == (True, True)
    assert client.get("/task", params={"dag_id": "dry", "run_id": "run", "task_id": "preview", "part": "live"}).text


def test_a_preview_brings_no_html_link_or_picture_of_its_own(client: TestClient, session: Session) -> None:
    dry_run(session, "hostile", f"## {HOSTILE}\n\n{HOSTILE}\n\n> {HOSTILE}\n\n| {HOSTILE} |\n| --- |\n| {HOSTILE} |\n")
    page = tab(client, "hostile", "preview")
    preview = page[page.index('class="preview"') :]
    assert preview.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 5
    assert preview.count("<strong>bold</strong>") == 5
    assert not re.search(r"<(script|a|img)\b", preview)


def test_all_that_a_real_preview_has_is_rendered(client: TestClient, session: Session) -> None:
    dry_run(session, "real", markdown_of(Statistics()))
    page = tab(client, "real", "preview")
    assert "<strong>0</strong> people would be invited" in page


def test_who_approved_a_list_is_on_its_tab_and_on_the_dry_runs(client: TestClient, session: Session) -> None:
    dry_run(session, "asked")
    add_question(session, add_task(session, "asked", "approve", xcoms={}), f"{MARKDOWN}\n", **APPROVED)
    late = {"chosen_options": ["Reject"], "responded_at": SENT_AT}
    add_question(session, add_task(session, "asked", "other", xcoms={}), "Another list", **late)
    add_question(session, add_task(session, "asked", "waits", xcoms={}), MARKDOWN)
    add_task(session, "asked", "send", rendered={**BATCH, "approved": "f00d"})
    for task_id in ("preview", "send"):
        text = said(tab(client, "asked", task_id))
        assert "approve , which showed this preview: Approve by Grace at 2026-11-01 08:00:00 UTC" in text
        assert "other , which showed something else: Reject by nobody, as the time was up at" in text
        assert "waits , which showed this preview: waits for an answer" in text
    assert "tasks/preview/plugin/invites" in tab(client, "asked", "send")


def test_nobody_was_shown_a_preview_that_cannot_be_read(client: TestClient, session: Session) -> None:
    dry_run(session, "lost", markdown="")
    add_question(session, add_task(session, "lost", "approve", xcoms={}), "Another list", **APPROVED)
    text = said(tab(client, "lost", "preview"))
    assert "approve , which showed something else: Approve by Grace" in text
    assert "This preview cannot be read: the storage of XComs has lost it, or is away." in text


def test_answers_are_shown_to_who_may_see_them(
    client: TestClient, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    dry_run(session, "private")
    add_question(session, add_task(session, "private", "approve", xcoms={}), MARKDOWN, **APPROVED)
    allowed = access.may
    refused = access.TO_SEE_APPROVALS[1]
    monkeypatch.setattr(access, "may", lambda *which: which[-1] != refused and allowed(*which))
    text = said(tab(client, "private", "preview"))
    assert ("Grace" in text, "no answer in this run that you may see" in text) == (False, True)


@pytest.mark.parametrize(
    ("rendered", "returned", "says"),
    [
        ({"invites": "spring"}, {"delivered": 7, "pending": 2, "expired": 0}, "7 delivered, 2 pending"),
        ({"campaign": "spring", "ledger_conn_id": "l"}, None, "followed by this task ·"),
        ({"campaign": {"campaign": "spring"}}, {"campaign": "spring", "found": 1, "still_in_doubt": 3}, "1 found, 3"),
    ],
)
def test_a_task_that_follows_a_campaign_shows_it(
    client: TestClient, session: Session, rendered: dict[str, Any], returned: Any, says: str
) -> None:
    dag_id = f"follows_{says[:1]}"
    add_task(session, dag_id, "send", campaign="spring", rows=10)
    add_task(session, dag_id, "another", campaign="autumn", rows=99)
    xcoms = {} if returned is None else {"return_value": returned}
    add_task(session, dag_id, "follow", xcoms=xcoms, rendered={**FOLLOWER, **rendered})
    page = tab(client, dag_id, "follow")
    assert "<h1>spring</h1>" in page
    assert says in said(page)
    assert "10 rows of 1 task" in said(page)
    assert ("tasks/send/plugin/invites" in page, "tasks/another" in page) == (True, False)


def test_a_task_that_follows_a_campaign_of_another_dag_shows_it_to_who_may_see_that(
    client: TestClient, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_task(session, "sends", "send", campaign="everywhere", rows=12, at=datetime.now(SENT_AT.tzinfo))
    add_task(session, "nightly", "settle", xcoms={}, rendered={**FOLLOWER, "campaign": "everywhere"})
    assert "dags/sends/runs/run/tasks/send" in tab(client, "nightly", "settle")
    allowed = access.may
    monkeypatch.setattr(access, "may", lambda *which: which[1] != "sends" and allowed(*which))
    page = tab(client, "nightly", "settle")
    assert ("sends" in page, "has sent no invites" in page) == (False, True)
