"""The async client: what only many requests at once, on connections that are kept, can break."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.api import event_loop
from airflow_provider_omnichat.api.errors import InviteNotSentError, InviteUnknownError
from tests.support.both_clients import failed, send
from tests.support.example_invite import MESSAGE, NUMBER
from tests.support.wire_server import ACCEPTED, answer, dripping, then_close, then_reset


def run(hook: Any, work: Any) -> Any:
    async def main() -> Any:
        async with hook.get_async_conn() as client:
            return await work(client, hook.check_invite(NUMBER, MESSAGE))

    return event_loop.run(main())


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


@pytest.mark.parametrize(("head", "drop"), [(b"", b"H"), (b"HTTP/1.1 200 OK\r\nX: ", b"x")], ids=["status", "headers"])
def test_a_head_that_drips_is_bounded_by_the_time_out(wire, hook_for, head, drop):
    server = wire(dripping(head, drop, 0.1, 1_000_000))
    failed(hook_for(server, extra={"timeout": 1}), "async", InviteUnknownError)
    assert len(server.seen) == 1


# connections


def test_connections_are_reused_and_no_more_than_concurrency_are_made(wire, hook_for):
    server = wire()
    hook = hook_for(server)

    async def many() -> None:
        async with hook.get_async_conn(concurrency=4) as client:
            invite = hook.check_invite(NUMBER, MESSAGE)
            await asyncio.gather(*(client.send_once(invite) for _ in range(60)))

    event_loop.run(many())
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
        send(hook, "async")
    server.close_connections()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
    assert [str(warning.message) for warning in recwarn] == []


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
        failed(hook_for(server, extra={"auth_type": "oauth2"}), "async", InviteNotSentError)
        assert server.invites == []
