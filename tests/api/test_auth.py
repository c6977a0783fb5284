"""The flow of a request with credentials: what either client sends, locks and reads for it."""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from typing import Any

import pytest

from airflow_provider_omnichat.api.auth import Credentials, Login
from airflow_provider_omnichat.api.errors import InviteNotSentError, TransportError
from airflow_provider_omnichat.api.reasons import ReasonCode
from airflow_provider_omnichat.api.wire import HttpRequest, HttpResponse
from tests.support.both_clients import send
from tests.support.wire_server import answer

REQUEST = HttpRequest("GET", "/x", {"Accept": "*/*"})
BASIC = Credentials.basic("user", "pass-word-1")
OAUTH2 = Credentials.oauth2("client", "client-secret-1")


def flow_of(login: Login | Credentials) -> Any:
    """Begin a request; the flow is typed loosely, since each step of it is."""
    return (login if isinstance(login, Login) else Login(login)).flow(REQUEST)


def respond(status: int = 200, **body: Any) -> HttpResponse:
    return HttpResponse(status, {}, json.dumps(body).encode())


def issue(flow: Any, asking: Any, token: str) -> Any:
    """Answer *asking*, the inner flow of *flow*, with a token; return the request that carries it."""
    assert isinstance(asking, Generator)
    assert next(asking).path == "/auth/1/oauth2/token"
    return flow.send(returned(asking, respond(access_token=token, expires_in=3600)))


def returned(flow: Any, reply: HttpResponse | None) -> Any:
    with pytest.raises(StopIteration) as ended:
        flow.send(reply)
    return ended.value.value


def test_fixed_credentials_are_sent_once_whatever_the_answer():
    flow = flow_of(BASIC)
    sent = next(flow)
    assert dict(sent.headers) == {"Accept": "*/*", "Authorization": "Basic dXNlcjpwYXNzLXdvcmQtMQ=="}
    assert returned(flow, respond(401)).status == 401


def test_a_request_shows_no_credentials():
    assert "Basic" not in repr(next(flow_of(BASIC)))


def test_a_token_is_asked_for_in_an_inner_flow_and_then_used_without_one():
    tokens: list[str] = []
    login = Login(OAUTH2, tokens.append)
    flow = flow_of(login)
    assert issue(flow, next(flow), "token-1").headers["Authorization"] == "Bearer token-1"
    assert next(flow_of(login)).headers["Authorization"] == "Bearer token-1"
    assert tokens == ["token-1"]
    assert login.secrets == ("client-secret-1", "token-1")


def test_an_inner_flow_that_waited_for_another_sends_nothing():
    login = Login(OAUTH2)
    first, second = flow_of(login), flow_of(login)
    waiting = next(second)
    issue(first, next(first), "token-1")
    assert second.send(returned(waiting, None)).headers["Authorization"] == "Bearer token-1"


def test_401_renews_a_token_once_and_not_one_that_another_request_has_renewed():
    login = Login(OAUTH2)
    flow, other = flow_of(login), flow_of(login)
    issue(flow, next(flow), "token-1")
    next(other)
    assert issue(flow, flow.send(respond(401)), "token-2").headers["Authorization"] == "Bearer token-2"
    assert other.send(respond(401)).headers["Authorization"] == "Bearer token-2"
    assert returned(flow, respond(401)).status == 401


def test_a_token_is_replaced_before_it_expires(monkeypatch):
    login = Login(OAUTH2)
    flow = flow_of(login)
    issue(flow, next(flow), "token-1")
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + 3590)
    later = flow_of(login)
    assert issue(later, next(later), "token-2").headers["Authorization"] == "Bearer token-2"


def test_a_broken_connection_for_a_token_means_not_sent_and_one_for_the_request_is_passed_on():
    broken = TransportError(ReasonCode.READ_TIMEOUT, "no answer")
    flow = flow_of(OAUTH2)
    asking = next(flow)
    next(asking)
    with pytest.raises(InviteNotSentError) as raised:
        asking.throw(broken)
    assert raised.value.retryable
    request = flow_of(BASIC)
    next(request)
    with pytest.raises(TransportError):
        request.throw(broken)


def token(value: str) -> bytes:
    return answer(200, {"access_token": value, "expires_in": 3600})


def test_either_client_renews_a_refused_token_once_and_repeats_the_invite_once(client, wire, hook_for):
    server = wire(token("token-1"), answer(), answer(401, {}), token("token-2"), answer(), answer(401, {}))
    hook = hook_for(server, extra={"auth_type": "oauth2"})
    send(hook, client, 2)
    assert [(seen.path.rsplit("/", 1)[1], seen.headers.get("authorization")) for seen in server.seen] == [
        ("token", None),
        ("invite", "Bearer token-1"),
        ("invite", "Bearer token-1"),
        ("token", None),
        ("invite", "Bearer token-2"),
    ]
