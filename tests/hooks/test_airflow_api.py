"""Another task's state store through Airflow's API, by HTTP: what it has, who may, and errors without credentials."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_omnichat.api.errors import AccountError
from airflow_provider_omnichat.campaign.ledger.interface import LedgerError
from airflow_provider_omnichat.campaign.ledger.task_state import CheckedStore
from airflow_provider_omnichat.hooks.airflow_api import RemoteStateStore, airflow_client
from tests.support.airflow_api import PASSWORD, TOKEN, AirflowApi, airflow_api

TASK = "dag/manual__2026-11-30T22:00:00+00:00/send"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[AirflowApi]:
    with airflow_api() as server:
        monkeypatch.setenv("AIRFLOW_CONN_AIRFLOW_API", server.connection())
        yield server


def opened(task: str = TASK) -> RemoteStateStore:
    return RemoteStateStore(airflow_client("airflow_api"), task)


def test_all_values_are_read_and_one_is_written_for_good(api: AirflowApi) -> None:
    api.stores[TASK] = {f"omnichat:{at:02}": {"at": at} for at in range(40)}
    store = opened()
    assert store.get("omnichat:39") == {"at": 39}
    assert (store.get("other"), store.get("other", 7)) == (None, 7)
    assert store.keys("omnichat:0") == [f"omnichat:0{at}" for at in range(10)]
    store.set("omnichat:batch:1/2", [1, "ü"])
    assert api.stores[TASK]["omnichat:batch:1/2"] == store.get("omnichat:batch:1/2") == [1, "ü"]
    assert sum(asked.startswith("POST") for asked in api.asked) == 1


def test_a_task_without_a_store_has_nothing(api: AirflowApi) -> None:
    assert opened("dag/run/other").keys("") == []


def test_a_token_needs_no_login(api: AirflowApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AIRFLOW_API", api.connection(login=None, password=TOKEN))
    api.stores[TASK] = {"a": 1}
    assert opened().get("a") == 1
    assert not any("token" in asked for asked in api.asked)


@pytest.mark.parametrize(
    ("method", "status", "says"),
    [
        ("POST", 401, "No access token: HTTP 401; check the connection's login and password"),
        ("POST", 503, "No access token: HTTP 503"),
        ("GET", 401, "answered HTTP 401; check the connection's login and password"),
        ("GET", 403, "answered HTTP 403; the connection's user may not read and edit the task instances of this DAG"),
        ("GET", 404, "answered HTTP 404; its state store came with Airflow 3.3"),
        ("GET", 302, "answered HTTP 302"),
        ("PUT", 403, "answered HTTP 403; the connection's user may not read and edit the task instances of this DAG"),
        ("PUT", 422, "answered HTTP 422"),
    ],
)
def test_a_refusal_says_where_and_why_and_shows_no_credentials(
    api: AirflowApi, method: str, status: int, says: str
) -> None:
    api.refusals = {method: status}
    with pytest.raises(LedgerError) as raised:
        CheckedStore(opened()).set("a", 1)
    assert f"Airflow's API at {api.url} " in str(raised.value)
    assert says in str(raised.value)
    assert PASSWORD not in str(raised.value)


@pytest.mark.parametrize("said", [b"<html>a proxy's page</html>", [], {"connections": []}, {"task_state_store": [1]}])
def test_a_server_that_is_not_airflows_is_not_an_empty_store(
    api: AirflowApi, monkeypatch: pytest.MonkeyPatch, said: Any
) -> None:
    answer = api.answer
    monkeypatch.setattr(
        api, "answer", lambda method, *given: (200, said) if method == "GET" else answer(method, *given)
    )
    with pytest.raises(LedgerError, match="does not answer as Airflow's API server does"):
        opened()


def test_a_server_that_is_away_is_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"conn_type": "http", "host": "http://127.0.0.1:1", "login": "ann", "password": PASSWORD}
    monkeypatch.setenv("AIRFLOW_CONN_AIRFLOW_API", json.dumps(fields))
    with pytest.raises(LedgerError, match=r"cannot be used: No access token: no connection") as raised:
        opened()
    assert raised.value.is_outage


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"host": ""}, "host: is empty; give the address of Airflow's API server"),
        ({"host": "http://airflow.example.com"}, "host: plain http would show credentials"),
        ({"password": ""}, "password: is empty"),
        ({"login": None, "password": ""}, "password: is empty"),
    ],
)
def test_a_connection_that_cannot_be_used_names_itself_and_the_field(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], says: str
) -> None:
    given = {"conn_type": "http", "host": "https://airflow.example.com", "login": "ann", "password": PASSWORD, **fields}
    monkeypatch.setenv("AIRFLOW_CONN_AIRFLOW_API", json.dumps(given))
    with pytest.raises(AccountError, match="Connection 'airflow_api' cannot be used: ") as raised:
        airflow_client("airflow_api")
    assert says in str(raised.value)


def test_plain_http_inside_a_cluster_has_to_be_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"conn_type": "http", "host": "airflow-api-server", "schema": "http", "port": 8080}
    given |= {"login": "ann", "password": PASSWORD, "extra": {"allow_http": True, "headers": {"a": "b"}}}
    monkeypatch.setenv("AIRFLOW_CONN_AIRFLOW_API", json.dumps(given))
    assert airflow_client("airflow_api").account.base_url == "http://airflow-api-server:8080"
