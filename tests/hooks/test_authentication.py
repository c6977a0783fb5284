"""The three ways to log in, and the life of an OAuth2 token."""

from __future__ import annotations

import base64
import threading
import time

import pytest

from airflow_provider_omnichat.api.errors import InviteNotSentError
from airflow_provider_omnichat.sandbox.server import Sandbox
from airflow_provider_omnichat.sandbox.settings import Settings
from tests.support.example_invite import MESSAGE, NUMBER
from tests.support.wire_server import answer, then_close

OAUTH2 = {"extra": {"auth_type": "oauth2"}, "login": "client", "password": "client-secret-1"}


def token(value: str = "token-number-one", **more: object) -> bytes:
    return answer(200, {"access_token": value, "expires_in": 3600, "token_type": "Bearer", **more})


def test_a_password_of_any_script_is_sent_as_utf_8(wire, hook_for):
    server = wire()
    hook_for(server, login="zoë", password="pässwörd→🔑").send_invite(NUMBER, MESSAGE)
    kind, _, value = server.seen[0].headers["authorization"].partition(" ")
    assert (kind, base64.b64decode(value).decode()) == ("Basic", "zoë:pässwörd→🔑")


@pytest.mark.parametrize("key", ["{key}", "App {key}"])
def test_an_api_key_works_with_or_without_the_word_app(sandbox, hook_for, key):
    hook = hook_for(
        sandbox,
        login=None,
        password=key.format(key=sandbox.credentials.api_key),
        extra={"auth_type": "api_key"},
    )
    hook.send_invite(NUMBER, MESSAGE)
    assert len(sandbox.accepted) == 1


def test_a_token_is_asked_for_once_and_used_again(wire, hook_for):
    server = wire(token())
    hook = hook_for(server, **OAUTH2)
    for _ in range(3):
        hook.send_invite(NUMBER, MESSAGE)
    ask, *invites = server.seen
    assert (ask.method, ask.path) == ("POST", "/auth/1/oauth2/token")
    assert ask.body == b"client_id=client&client_secret=client-secret-1&grant_type=client_credentials"
    assert ask.headers["content-type"] == "application/x-www-form-urlencoded"
    assert "authorization" not in ask.headers
    assert [seen.headers["authorization"] for seen in invites] == ["Bearer token-number-one"] * 3


def test_the_sandbox_takes_oauth2(sandbox, hook_for):
    hook = hook_for(
        sandbox,
        login=sandbox.credentials.client_id,
        password=sandbox.credentials.client_secret,
        extra={"auth_type": "oauth2"},
    )
    hook.send_invite(NUMBER, MESSAGE)
    assert len(sandbox.accepted) == 1


def test_a_token_that_ended_is_renewed_before_it_is_refused(wire, hook_for, monkeypatch):
    server = wire(token("first"), answer(), token("second"), answer())
    hook = hook_for(server, **OAUTH2)
    hook.send_invite(NUMBER, MESSAGE)
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + 3590)
    hook.send_invite(NUMBER, MESSAGE)
    assert [seen.headers.get("authorization") for seen in server.seen] == [None, "Bearer first", None, "Bearer second"]


def test_a_token_that_the_sandbox_ends_early_costs_one_renewal_and_no_sms(hook_for, sandbox_clock):
    with Sandbox(settings=Settings(token_lifetime=1)) as sandbox:
        hook = hook_for(
            sandbox,
            login=sandbox.credentials.client_id,
            password=sandbox.credentials.client_secret,
            extra={"auth_type": "oauth2"},
        )
        hook.send_invite(NUMBER, MESSAGE)
        sandbox_clock.sleep(1.1)
        hook.send_invite(NUMBER, MESSAGE)
        assert len(sandbox.accepted) == 2
        assert sandbox.requests_seen == 3


def test_401_with_a_token_that_was_kept_is_one_renewal_and_one_repeat(wire, hook_for):
    server = wire(token("first"), answer(), answer(401, {}), token("second"), answer())
    hook = hook_for(server, **OAUTH2)
    hook.send_invite(NUMBER, MESSAGE)
    hook.send_invite(NUMBER, MESSAGE)
    assert [seen.path.rsplit("/", 1)[1] for seen in server.seen] == ["token", "invite", "invite", "token", "invite"]


def test_401_twice_is_not_sent_and_not_asked_for_again(wire, hook_for):
    server = wire(token("first"), answer(401, {}), token("second"), answer(401, {}))
    with pytest.raises(InviteNotSentError) as raised:
        hook_for(server, retry_budget=5, **OAUTH2).send_invite(NUMBER, MESSAGE)
    assert raised.value.account_fault
    assert len(server.seen) == 4


def test_401_with_basic_is_not_repeated(wire, hook_for):
    server = wire(answer(401, {}))
    with pytest.raises(InviteNotSentError):
        hook_for(server, retry_budget=5).send_invite(NUMBER, MESSAGE)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("broken", "retryable"),
    [
        pytest.param(answer(401, {"error": "invalid_client"}), False, id="401"),
        pytest.param(answer(400, {}), False, id="400"),
        pytest.param(answer(307, b"", "Location: http://127.0.0.1:1/"), False, id="307"),
        pytest.param(answer(429, {}), True, id="429"),
        pytest.param(answer(500, {}), True, id="500"),
        pytest.param(then_close(), True, id="closed"),
        pytest.param(then_close(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"), False, id="broken off"),
        pytest.param(answer(200, b"<html>"), False, id="HTML"),
        pytest.param(answer(200, b"[]"), False, id="a list"),
        pytest.param(answer(200, {}), False, id="no token"),
        pytest.param(token("two\r\nlines"), False, id="a token with a line break"),
        pytest.param(token("\u2603"), False, id="a token that fits no header"),
        pytest.param(token(""), False, id="an empty token"),
        pytest.param(answer(200, {"access_token": ["x"]}), False, id="a token that is no text"),
    ],
)
def test_without_a_token_nothing_is_sent(wire, hook_for, broken, retryable):
    server = wire(broken)
    with pytest.raises(InviteNotSentError, match="No access token") as raised:
        hook_for(server, **OAUTH2).send_invite(NUMBER, MESSAGE)
    assert raised.value.retryable is retryable
    assert server.invites == []
    assert len(server.seen) == 1


def test_a_token_that_is_given_twice_is_none(wire, hook_for):
    server = wire(answer(200, b'{"access_token": "first-token", "access_token": "second-token", "expires_in": 3600}'))
    with pytest.raises(InviteNotSentError, match="gives a field twice"):
        hook_for(server, **OAUTH2).send_invite(NUMBER, MESSAGE)
    assert server.invites == []


@pytest.mark.parametrize("expires_in", [0, -5, None, "soon", "3600", 1.5, 10**12, 10**400, "9" * 400, True, [1]])
def test_a_lifetime_of_any_kind_is_survived(wire, hook_for, expires_in):
    server = wire(token(expires_in=expires_in))
    hook = hook_for(server, **OAUTH2)
    hook.send_invite(NUMBER, MESSAGE)
    hook.send_invite(NUMBER, MESSAGE)
    assert len(server.invites) == 2
    assert len(server.seen) == 3


def test_threads_that_meet_an_ended_token_together_send_each_invite_once(hook_for, sandbox_clock):
    with Sandbox(settings=Settings(token_lifetime=1)) as sandbox:
        hook = hook_for(
            sandbox,
            login=sandbox.credentials.client_id,
            password=sandbox.credentials.client_secret,
            extra={"auth_type": "oauth2"},
        )
        hook.send_invite(NUMBER, MESSAGE)
        sandbox_clock.sleep(1.1)
        errors: list[BaseException] = []

        def send(number: str) -> None:
            try:
                hook.send_invite(number, MESSAGE)
            except BaseException as error:
                errors.append(error)

        numbers = [str(41793026800 + n) for n in range(12)]
        threads = [threading.Thread(target=send, args=(number,)) for number in numbers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert sorted(receipt.to for receipt in sandbox.accepted) == sorted([NUMBER, *numbers])
