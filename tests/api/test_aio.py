"""The async client: the outcome table of the sync one, and what only many requests at once can break."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.api.errors import InviteNotSentError, InviteUnknownError, SendError
from airflow_provider_omnichat.api.outcomes import Outcome
from tests.support.answers import BROKEN, with_status
from tests.support.example_invite import MESSAGE, NUMBER
from tests.support.wire_server import ACCEPTED, answer, dripping, refused_port, then_close, then_reset


def outcome_of(hook: Any, how: str, times: int = 1) -> list[tuple[Any, ...]]:
    """What sending gives, by one client or the other: the outcome and what a sender decides by."""
    invite = hook.check_invite(NUMBER, MESSAGE)

    def told(error: SendError | None) -> tuple[Any, ...]:
        if error is None:
            return (Outcome.ACCEPTED,)
        if error.outcome is Outcome.UNKNOWN:  # the libraries do not come equally far with a broken answer
            return error.outcome, error.retryable
        return error.outcome, error.http_status, error.code, error.retryable, error.account_fault, error.retry_after

    async def many() -> list[tuple[Any, ...]]:
        found = []
        async with hook.get_async_conn() as client:
            for _ in range(times):
                try:
                    await client.send_once(invite)
                    found.append(told(None))
                except SendError as error:
                    found.append(told(error))
        return found

    if how == "async":
        return asyncio.run(many())
    found = []
    for _ in range(times):
        try:
            hook.get_conn().send_invite(invite)
            found.append(told(None))
        except SendError as error:
            found.append(told(error))
    return found


def fail(hook: Any, kind: type[SendError]) -> SendError:
    async def send() -> None:
        async with hook.get_async_conn() as client:
            await client.send_once(hook.check_invite(NUMBER, MESSAGE))

    with pytest.raises(kind) as raised:
        asyncio.run(send())
    assert type(raised.value) is kind
    return raised.value


def run(hook: Any, work: Any) -> Any:
    async def main() -> Any:
        async with hook.get_async_conn() as client:
            return await work(client, hook.check_invite(NUMBER, MESSAGE))

    return asyncio.run(main())


SAME: dict[str, Any] = {
    "accepted": answer(),
    **{
        f"group {group}, id {status}": with_status(groupId=group, id=status) for group in range(7) for status in (5, 29)
    },
    "no credit": with_status(groupId=5, id=12),
    "a rejection without a messageId": answer(200, {"status": {"groupId": 5, "id": 52}}),
    **{f"HTTP {status}": answer(status, {}) for status in (*range(400, 432), 451, 499, *range(500, 512), 520, 599)},
    **{
        f"HTTP {status}": answer(status, b"", "Location: /x")
        for status in (201, 204, 300, 301, 302, 303, 304, 307, 308)
    },
    "429 with Retry-After": answer(429, {}, "Retry-After: 7"),
    "429 with two Retry-After": answer(429, {}, "Retry-After: 7", "Retry-After: 8"),
    "503 with Retry-After": answer(503, {}, "Retry-After: 7"),
    "503 with a fraction": answer(503, {}, "Retry-After: 1.5"),
    "503 with two Retry-After": answer(503, {}, "Retry-After: 1", "Retry-After: 2.5"),
    "503 with two in one": answer(503, {}, "Retry-After: 7, 3"),
    "503 with a Retry-After that is folded": answer(503, {}, "Retry-After:", " 7"),
    "503 with an empty Retry-After": answer(503, {}, "Retry-After:"),
    "the old error body": answer(400, {"requestError": {"serviceException": {"messageId": "BAD", "text": "Bad"}}}),
    "the new error body": answer(400, {"errorCode": "E400", "description": "Bad"}),
    "gzip": answer(200, gzip.compress(json.dumps(ACCEPTED).encode()), "Content-Encoding: gzip"),
    **BROKEN,
}


@pytest.mark.parametrize("given", SAME.values(), ids=SAME)
def test_both_clients_read_the_same_in_an_answer_and_neither_repeats_it(wire, hook_for, given):
    found = {}
    for how in ("sync", "async"):
        server = wire(given)
        found[how] = outcome_of(hook_for(server, extra={"timeout": 0.5}), how)
        assert len(server.seen) == 1
    assert found["async"] == found["sync"]


@pytest.mark.parametrize("given", SAME.values(), ids=SAME)
def test_no_answer_is_ever_taken_for_that_of_the_next_invite(wire, hook_for, given):
    """An answer of two bodies, an interim one, a length that is too short: the rest must not answer the next."""
    second = answer(200, {**ACCEPTED, "messageId": "of the second"})
    server = wire(given, second)

    async def both(client: Any, invite: Any) -> Any:
        with suppress(SendError):
            await client.send_once(invite)
        await asyncio.sleep(0.05)
        return await client.send_once(invite)

    assert run(hook_for(server, extra={"timeout": 0.5}), both).message_id == "of the second"
    assert len(server.seen) == 2


@pytest.mark.parametrize("interim", [100, 102, 103, 199])
def test_the_answer_after_an_interim_one_is_that_of_this_invite(wire, hook_for, interim):
    first = b"HTTP/1.1 %d Wait\r\n\r\n" % interim + answer(200, {**ACCEPTED, "messageId": "first"})
    server = wire(first, answer(200, {**ACCEPTED, "messageId": "second"}))

    async def both(client: Any, invite: Any) -> list[str]:
        return [(await client.send_once(invite)).message_id for _ in range(2)]

    assert run(hook_for(server), both) == ["first", "second"]


@pytest.mark.parametrize("surplus", [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"x", answer()])
def test_what_a_server_sends_unasked_answers_no_invite(wire, hook_for, surplus):
    server = wire(answer() + surplus, answer(200, {**ACCEPTED, "messageId": "second"}))

    async def both(client: Any, invite: Any) -> str:
        with suppress(InviteUnknownError):
            await client.send_once(invite)
        await asyncio.sleep(0.1)
        try:
            return str((await client.send_once(invite)).message_id)
        except InviteUnknownError:
            return "in doubt"

    assert run(hook_for(server), both) in {"second", "in doubt"}
    assert len(server.invites) == 2


# connections


def test_connections_are_reused_and_no_more_than_concurrency_are_made(wire, hook_for):
    server = wire()
    hook = hook_for(server)

    async def many() -> None:
        async with hook.get_async_conn(concurrency=4) as client:
            invite = hook.check_invite(NUMBER, MESSAGE)
            await asyncio.gather(*(client.send_once(invite) for _ in range(60)))

    asyncio.run(many())
    assert len(server.invites) == 60
    assert server.connections <= 4


@pytest.mark.parametrize("how", ["closed", "reset"])
def test_a_post_is_not_replayed_on_a_connection_that_was_closed_meanwhile(wire, hook_for, how):
    ends = then_close() if how == "closed" else then_reset()
    for _ in range(5):
        server = wire(answer(), ends)

        async def twice(client: Any, invite: Any) -> None:
            await client.send_once(invite)
            with pytest.raises(InviteUnknownError):
                await client.send_once(invite)

        run(hook_for(server), twice)
        assert len(server.invites) == 2


def test_a_connection_that_the_server_closed_while_idle_is_not_used(wire, hook_for):
    server = wire()

    async def twice(client: Any, invite: Any) -> None:
        await client.send_once(invite)
        server.close_connections()
        await asyncio.sleep(0.1)
        await client.send_once(invite)

    run(hook_for(server), twice)
    assert len(server.invites) == 2
    assert server.connections == 2


@pytest.mark.parametrize("over_tls", [False, True])
def test_nothing_is_written_to_a_connection_whose_end_the_event_loop_has_not_seen(
    wire, hook_for, self_signed, monkeypatch, over_tls
):
    """Such a request never leaves, or is lost on its way; its invite would be in doubt."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(self_signed[1]))
    server = wire(tls=self_signed[0] if over_tls else None)

    async def many(client: Any, invite: Any) -> None:
        for turns in range(6):  # of the event loop, between the end and the next invite: TLS takes several to close
            await asyncio.gather(*(client.send_once(invite) for _ in range(4)))
            server.close_connections()
            time.sleep(0.05)  # noqa: ASYNC251 - the event loop shall not see it
            for _ in range(turns):
                await asyncio.sleep(0)

    run(hook_for(server), many)
    assert len(server.invites) == 24


def test_nothing_is_left_open(wire, hook_for, recwarn):
    server = wire(answer(), then_close(), answer(429, {}), answer(200, b"x" * 100_000))
    before = len(list(Path("/proc/self/fd").iterdir()))
    hook = hook_for(server)
    for _ in range(4):
        outcome_of(hook, "async")
    server.close_connections()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
    assert [str(warning.message) for warning in recwarn] == []


# no connection


@pytest.mark.parametrize(
    ("host", "said"),
    [
        pytest.param("http://127.0.0.1:{port}", "no connection", id="refused"),
        pytest.param("https://127.0.0.1:{port}", "no connection", id="refused, TLS"),
        pytest.param("https://no-such-host.invalid", "the host name cannot be resolved", id="no such host"),
        pytest.param("https://a..example.com", "", id="empty label"),
        pytest.param(f"https://{'a' * 70}.example.com", "", id="label too long"),
        pytest.param("https://*.example.com", "", id="wildcard"),
    ],
)
def test_no_connection_is_not_sent_and_says_why(hook_for, host, said):
    error = fail(hook_for(host.format(port=refused_port())), InviteNotSentError)
    assert said in str(error)
    assert error.retryable


def test_a_connect_time_out_and_a_handshake_without_an_end_are_not_sent(hook_for):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hook = hook_for(f"https://127.0.0.1:{silent.getsockname()[1]}", extra={"timeout": 0.3})
        assert "no connection in time" in str(fail(hook, InviteNotSentError))


def test_tls_with_a_server_that_speaks_none_is_not_sent(wire, hook_for):
    server = wire()
    fail(hook_for(server.url.replace("http:", "https:"), extra={"timeout": 0.3}), InviteNotSentError)
    assert server.seen == []


def test_a_certificate_that_nobody_trusts_is_not_sent_and_a_trusted_one_is_taken(
    wire, hook_for, self_signed, monkeypatch
):
    server = wire(tls=self_signed[0])
    assert "certificate verify failed" in str(fail(hook_for(server), InviteNotSentError))
    assert server.seen == []
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(self_signed[1]))
    assert outcome_of(hook_for(server), "async") == [(Outcome.ACCEPTED,)]


def test_a_connection_over_tls_that_breaks_after_the_request_is_unknown(wire, hook_for, self_signed, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(self_signed[1]))
    server = wire(then_close(), tls=self_signed[0])
    fail(hook_for(server), InviteUnknownError)
    assert len(server.seen) == 1


# slow and huge answers


def test_a_time_out_is_unknown_and_not_repeated(sandbox, hook_for):
    sandbox.script("hang-after")
    error = fail(hook_for(sandbox, extra={"timeout": 0.3}), InviteUnknownError)
    assert str(error) == "The invite may have been sent, or not: no answer within 0.3 seconds"
    assert sandbox.requests_seen == 1


@pytest.mark.parametrize(
    "head",
    [b"", b"HTTP/1.1 200 OK\r\nX: ", answer(200, b"", "Content-Length: 1000")],
    ids=["status", "headers", "body"],
)
def test_an_answer_that_drips_is_bounded_by_the_time_out(wire, hook_for, head):
    drop = b"HTTP/1.1 200 OK"[:1] if not head else b"x"
    server = wire(dripping(head, drop, 0.1, 1000))
    begin = time.monotonic()
    fail(hook_for(server, extra={"timeout": 0.4}), InviteUnknownError)
    assert time.monotonic() - begin < 60
    assert len(server.seen) == 1


def test_a_gzip_bomb_is_not_unpacked(wire, hook_for):
    import tracemalloc

    bomb = answer(200, gzip.compress(b" " * (200 << 20), 1), "Content-Encoding: gzip")
    hook = hook_for(wire(bomb))
    tracemalloc.start()
    try:
        fail(hook, InviteUnknownError)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 50 << 20


# tokens


def token(value: str, seconds: int = 3600) -> bytes:
    return answer(200, {"access_token": value, "expires_in": seconds})


class TokenServer:
    """Answers for as many requests as come: tokens on their path, invites by the token they carry."""

    def __init__(self, wire: Any, good: str = "token-2-token") -> None:
        self.tokens = 0
        self._lock = threading.Lock()
        self._good = good
        self.server = wire(*[self.play] * 500)

    def play(self, sock: socket.socket) -> None:
        with self._lock:
            seen = next(
                one
                for one in reversed(self.server.seen)
                if self.server._open[one.connection - 1].fileno() == sock.fileno()
            )
            if seen.path.endswith("/token"):
                self.tokens += 1
                reply = token(f"token-{self.tokens}-token")
            else:
                good = seen.headers["authorization"] == f"Bearer {self._good}"
                reply = answer() if good else answer(401, {})
        time.sleep(0.02)
        sock.sendall(reply)


def test_many_sends_at_once_ask_for_one_token_and_for_one_more_when_it_is_refused(wire, hook_for):
    served = TokenServer(wire)
    hook = hook_for(served.server, extra={"auth_type": "oauth2"})

    async def many(client: Any, invite: Any) -> list[Any]:
        return await asyncio.gather(*(client.send_once(invite) for _ in range(32)), return_exceptions=True)

    found = run(hook, many)
    assert [type(each).__name__ for each in found] == ["InviteAnswer"] * 32
    assert served.tokens == 2


def test_a_token_that_cannot_be_had_is_not_sent(wire, hook_for):
    for broken in (then_close(), answer(500, {}), answer(200, b"x"), answer(200, {}), answer(401, {})):
        server = wire(broken)
        fail(hook_for(server, extra={"auth_type": "oauth2"}), InviteNotSentError)
        assert server.invites == []
