"""Credentials, tokens, users and applications."""

import pytest
import requests

from airflow_provider_omnichat.sandbox import Sandbox, Settings
from tests.support.patience import PATIENCE_SECONDS


def users(sandbox, key=None, **options):
    url = f"{sandbox.url}/omnichat/1/applications/{key or sandbox.application_key}/users"
    options.setdefault("auth", sandbox.auth)
    return requests.get(url, timeout=PATIENCE_SECONDS, **options)


def bearer(sandbox, **changed):
    ours = sandbox.credentials
    form = {"client_id": ours.client_id, "client_secret": ours.client_secret, "grant_type": "client_credentials"}
    return requests.post(f"{sandbox.url}/auth/1/oauth2/token", data=form | changed, timeout=PATIENCE_SECONDS)


def test_each_kind_of_credential_is_let_in(sandbox, post):
    ours = sandbox.credentials
    session = requests.post(
        f"{sandbox.url}/auth/1/session",
        json={"username": ours.user, "password": ours.password},
        timeout=PATIENCE_SECONDS,
    )
    headers = [
        f"App {ours.api_key}",
        f"Bearer {bearer(sandbox).json()['access_token']}",
        f"IBSSO {session.json()['token']}",
    ]

    assert post(sandbox).status_code == 200
    for header in headers:
        assert post(sandbox, auth=None, headers={"Authorization": header}).status_code == 200


@pytest.mark.parametrize(
    "header", [None, "", "Basic", "Basic ???", "Basic YTpi", "App wrong", "Bearer wrong", "IBSSO wrong", "Other x"]
)
def test_wrong_credentials_are_401_and_nothing_is_accepted(sandbox, post, header):
    response = post(sandbox, auth=None, headers={"Authorization": header} if header is not None else {})

    assert response.status_code == 401
    assert response.json() == {
        "requestError": {"serviceException": {"messageId": "UNAUTHORIZED", "text": "Invalid login details"}}
    }
    assert sandbox.accepted == []
    assert sandbox.requests_seen == 1


def test_a_token_of_one_kind_does_not_pass_as_the_other(sandbox, post):
    token = bearer(sandbox).json()["access_token"]
    assert post(sandbox, auth=None, headers={"Authorization": f"IBSSO {token}"}).status_code == 401


def test_token_really_expires(post, sandbox_clock):
    with Sandbox(settings=Settings(token_lifetime=0.2)) as sandbox:
        answer = bearer(sandbox).json()
        headers = {"Authorization": f"Bearer {answer['access_token']}"}
        assert post(sandbox, auth=None, headers=headers).status_code == 200
        sandbox_clock.sleep(0.25)
        assert post(sandbox, auth=None, headers=headers).status_code == 401


def test_token_answer_has_the_fields_of_the_contract(sandbox):
    answer = bearer(sandbox).json()
    assert answer.keys() == {"access_token", "expires_in", "token_type"}
    assert answer["expires_in"] == 3600


def test_wrong_client_gets_no_token(sandbox):
    assert bearer(sandbox, client_secret="wrong").status_code == 401
    assert bearer(sandbox, grant_type="password").status_code == 400


def test_wrong_user_gets_no_session(sandbox):
    for body, code in (({"username": "a", "password": "b"}, 401), ([], 400)):
        assert requests.post(f"{sandbox.url}/auth/1/session", json=body, timeout=PATIENCE_SECONDS).status_code == code


def test_users_are_listed_by_limit_and_offset(sandbox):
    everyone = users(sandbox).json()

    assert {"key", "integrationType"} <= everyone[0].keys()
    assert users(sandbox, params={"limit": 1}).json() == everyone[:1]
    assert users(sandbox, params={"limit": 1, "offset": 1}).json() == everyone[1:2]
    assert users(sandbox, params={"limit": 1000}).status_code == 200
    assert sandbox.requests_seen == 0


def test_users_with_wrong_input_are_refused(sandbox):
    for params in ({"limit": 1001}, {"limit": 0}, {"limit": "x"}, {"offset": -1}):
        assert users(sandbox, params=params).status_code == 400
    assert users(sandbox, auth=("a", "b")).status_code == 401
    assert users(sandbox, key="0" * 32).status_code == 404


def test_new_application_works_at_once(sandbox, post):
    url = f"{sandbox.url}/omnichat/1/applications"
    answer = requests.post(url, json={"name": "Shop"}, auth=sandbox.auth, timeout=PATIENCE_SECONDS).json()

    assert answer["name"] == "Shop"
    invite = sandbox.invite_url().replace(sandbox.application_key, answer["key"])
    assert post(sandbox, url=invite).status_code == 200
    assert requests.post(url, json={"name": ""}, auth=sandbox.auth, timeout=PATIENCE_SECONDS).status_code == 400
    assert requests.post(url, json={"name": "Shop"}, timeout=PATIENCE_SECONDS).status_code == 401
