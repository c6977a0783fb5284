"""The pages, asked for anything by five users: never an error of the server, never a row of a DAG they may not see."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.airflow_harness import START, run_task
from tests.support.airflow_versions import HAS_STATE_STORE
from tests.support.attacks import TRIED, attack
from tests.support.batch_tasks import batch, number

pytestmark = [
    pytest.mark.attack,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not HAS_STATE_STORE, reason="the plugin is attacked as Airflow 3.3 has it"),
]

DAGS = ("one", "other")
READ, EDIT = {("GET", "TASK_INSTANCE"), ("GET", "XCOM")}, {("PUT", "TASK_INSTANCE")}
RIGHTS: dict[str, dict[str, set[tuple[str, str]]]] = {
    "admin": {"one": READ | EDIT, "other": READ | EDIT},
    "viewer": {"one": READ, "other": READ},
    "editor of one": {"one": READ | EDIT, "other": EDIT},
    "without XComs": {"one": {("GET", "TASK_INSTANCE")}, "other": {("GET", "XCOM")}},
    "nobody": {},
}


class Site(NamedTuple):
    """The plugin's app with two DAGs that have sent, and an auth manager with five users."""

    client: Any
    recipients: list[str]
    token: Any


@pytest.fixture
def site(tmp_path: Path, ledger: Any, at_sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    from airflow.api_fastapi import app as airflow_app
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.api_fastapi.core_api.security import get_user
    from airflow.sdk import DAG
    from fastapi import Header
    from fastapi.testclient import TestClient
    from sqlalchemy.orm import Session

    from airflow_provider_omnichat.plugins.invites import access
    from airflow_provider_omnichat.plugins.invites.app import create_app
    from tests.support.metadata_database import add_task, metadata_database

    class FiveUsers(SimpleAuthManager):
        def is_authorized_dag(self, *, method: Any, user: Any, access_entity: Any = None, details: Any = None) -> bool:
            return (method, access_entity.name) in RIGHTS[user.get_name()].get(details.id, set())

    def user_of(x_user: Any) -> Any:
        return SimpleAuthManagerUser(username=x_user, role=None)

    user_of.__annotations__ = {"x_user": Annotated[str, Header()]}
    monkeypatch.setenv("AIRFLOW__API__SECRET_KEY", "a key of this test's")
    monkeypatch.setattr(airflow_app._AuthManagerState, "instance", FiveUsers())
    app = create_app()
    app.dependency_overrides[get_user] = user_of
    pushed, rendered, now = {}, {}, datetime.now(UTC)
    for at, dag_id in enumerate(DAGS):
        rows = [{"to": f"+{number(20 * at + i)}", "name": "you", "id": f"KEY-{dag_id}-{i}"} for i in range(20)]
        given = {"results_path": str(tmp_path), "concurrency": 1, "campaign": f"of-{dag_id}", **ledger}
        task = batch(rows, key_column="id", **given)
        task.dag = DAG(dag_id, schedule=None, start_date=START)
        at_sandbox.script("500-after", "500-before", "rejected:10")
        run = run_task(task)
        pushed[dag_id], rendered[dag_id] = run.xcom["invite_progress"], run.rendered
        del pushed[dag_id]["at"]
    with metadata_database("sqlite") as engine, TestClient(app) as client:
        with Session(engine) as session:
            for dag_id in DAGS:
                add_task(session, dag_id, at=now, run_id="run-1", rendered=rendered[dag_id], **pushed[dag_id])
            # Somebody with a right to the XComs of one has made them say where the rows of the other are.
            stolen = {**pushed["one"], **{name: pushed["other"][name] for name in ("results", "campaign")}}
            in_ledger = {**rendered["one"], "results_path": None}
            for task_id, fields in ("edited0", rendered["one"]), ("edited1", in_ledger):
                add_task(session, "one", task_id, at=now, run_id="run-1", rendered=fields, **stolen)
        page = client.get("/task?dag_id=other&run_id=run-1&task_id=invite", headers={"X-User": "admin"})
        assert "KEY-other-3" in page.text
        recipients = re.findall(r'data-recipient="([0-9a-f]+)"', page.text)
        assert recipients
        yield Site(client, recipients, lambda name, dag_id: access.write_token(user_of(name), dag_id))


ODD = st.text(max_size=6) | st.sampled_from(
    ["-1", "0", "9" * 30, "1e9", "~", "%", "../", "{MAP_INDEX}", "' OR 1=1 --", "\x00"]
)
USERS, DAG_IDS = st.sampled_from(list(RIGHTS)), st.sampled_from([*DAGS, *DAGS, "~", "", "One"])
FIELDS = st.one_of(
    st.tuples(st.just("dag_id"), DAG_IDS | ODD),
    st.tuples(st.just("task_id"), st.sampled_from(["invite", "edited0", "edited1"]) | ODD),
    st.tuples(
        st.sampled_from(["run_id", "map_index", "after", "order", "part", "outcome", "reason", "status", "q", "desc"]),
        ODD,
    ),
    st.sampled_from(
        [
            ("order", "key"),
            ("order", "number"),
            ("outcome", "unknown"),
            ("part", "live"),
            ("part", "rows"),
            ("q", "KEY"),
        ]
    ),
)
PLACES = st.builds(
    lambda dag_id, task_id, more: [("run_id", "run-1"), ("dag_id", dag_id), ("task_id", task_id), *more],
    DAG_IDS,
    st.sampled_from(["invite", "edited0", "edited1"]),
    st.lists(FIELDS, max_size=3),
)
PAGES = st.sampled_from(["task", "task", "run", "task.json", "rows.csv", "rows.csv", "campaigns"])


def check(said: Any, user: str, asked: object) -> None:
    TRIED["pages asked for"] += 1
    assert said.status_code < 500, (user, asked)
    for dag_id in DAGS:
        if not RIGHTS[user].get(dag_id, set()) >= READ:
            assert f"KEY-{dag_id}" not in said.text, (user, asked)
    assert not any(number(at) in said.text for at in range(40)), (user, asked)


def test_no_address_shows_a_row_to_who_may_not_see_it(site: Site) -> None:
    @attack(1200)
    @given(USERS, PAGES, PLACES)
    def asked(user: str, page: str, place: list[tuple[str, str]]) -> None:
        said = site.client.get(f"/{page}?{urlencode(place, errors='surrogatepass')}", headers={"X-User": user})
        check(said, user, (page, place))
        if dict(place)["dag_id"] == "one" and page != "campaigns":
            assert "KEY-other" not in said.text, "an edited XCom shows the rows of another DAG"

    asked()


def test_nobody_settles_what_they_may_not_edit(site: Site) -> None:
    good = st.fixed_dictionaries(
        {"settled_as": st.sampled_from(["sent", "not_sent", "in_doubt"]), "why": st.just("it was seen")},
        optional={"recipients": st.lists(st.sampled_from(site.recipients), max_size=3)},
    )
    odd = st.dictionaries(st.sampled_from(["recipients", "settled_as", "why", "dag_id"]), ODD)
    of_other = st.just([("run_id", "run-1"), ("dag_id", "other"), ("task_id", "invite")])

    @attack(500)
    @given(USERS, of_other | PLACES, good | st.builds(dict.__or__, good, odd), st.none() | USERS, DAG_IDS | ODD)
    def asked(user: str, place: list[tuple[str, str]], body: Any, whose: str | None, of: str) -> None:
        if whose is None:
            whose, of = user, dict(place)["dag_id"]
        headers = {"X-User": user, "X-CSRF-Token": site.token(whose, of)}
        said = site.client.post(f"/settle?{urlencode(place, errors='surrogatepass')}", json=body, headers=headers)
        check(said, user, (place, body, whose, of))
        if said.status_code == 200:
            dag_id = dict(place)["dag_id"]
            assert RIGHTS[user][dag_id] >= READ | EDIT
            assert (user, dag_id) == (whose, of)

    asked()
