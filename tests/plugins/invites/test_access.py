"""A write needs the token of our own page, made for this user and this DAG."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import HTTPException

from airflow_provider_omnichat.plugins.invites import access

JSON = {"content-type": "application/json"}


def user(name: str) -> Any:
    return SimpleNamespace(get_id=lambda: name)


def request(dag_id: str = "welcome", **headers: str) -> Any:
    return SimpleNamespace(headers=headers or JSON, query_params={"dag_id": dag_id})


@pytest.fixture(autouse=True)
def secret_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__SECRET_KEY", "a key of this test")


def test_the_token_of_the_page_lets_its_user_write() -> None:
    access.check_write_token(request(), user("ann"), access.write_token(user("ann"), "welcome"))


@pytest.mark.parametrize(
    ("name", "dag_id"), [("bob", "welcome"), ("ann", "other")], ids=["of another user", "of another DAG"]
)
def test_a_token_is_for_one_user_and_one_dag(name: str, dag_id: str) -> None:
    with pytest.raises(HTTPException) as refused:
        access.check_write_token(request(), user("ann"), access.write_token(user(name), dag_id))
    assert refused.value.status_code == 403


@pytest.mark.parametrize("token", [None, "", "made.up.token"])
def test_without_a_token_of_ours_nothing_is_written(token: str | None) -> None:
    with pytest.raises(HTTPException) as refused:
        access.check_write_token(request(), user("ann"), token)
    assert refused.value.status_code == 403


def test_a_token_grows_old(monkeypatch: pytest.MonkeyPatch) -> None:
    token = access.write_token(user("ann"), "welcome")
    monkeypatch.setattr(access, "_TOKEN_SECONDS", -1)
    with pytest.raises(HTTPException) as refused:
        access.check_write_token(request(), user("ann"), token)
    assert refused.value.status_code == 403


def test_a_form_of_another_site_is_refused() -> None:
    with pytest.raises(HTTPException) as refused:
        access.check_write_token(
            request(**{"content-type": "text/plain"}), user("ann"), access.write_token(user("ann"), "welcome")
        )
    assert refused.value.status_code == 415
