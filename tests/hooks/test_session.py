"""One HTTP session: what is kept from invite to invite, and what never is."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from airflow_provider_omnichat.api.errors import InviteNotSentError, InviteUnknownError
from tests.support.example_invite import MESSAGE, NUMBER
from tests.support.patience import wait_until
from tests.support.wire_server import ACCEPTED, answer, then_close


def test_several_invites_share_one_connection(wire, hook_for):
    server = wire()
    hook = hook_for(server)
    for _ in range(5):
        hook.send_invite(NUMBER, MESSAGE)
    assert (len(server.seen), server.connections) == (5, 1)


def test_a_connection_that_the_server_closed_while_idle_is_replaced_and_nothing_sent_twice(wire, hook_for):
    server = wire()
    hook = hook_for(server)
    hook.send_invite(NUMBER, MESSAGE)
    server.close_connections()
    time.sleep(0.05)
    hook.send_invite(NUMBER, MESSAGE)
    assert (len(server.seen), server.connections) == (2, 2)


def test_a_kept_connection_that_breaks_under_a_request_is_unknown(wire, hook_for):
    server = wire(answer(), then_close())
    hook = hook_for(server, retry_budget=5)
    hook.send_invite(NUMBER, MESSAGE)
    with pytest.raises(InviteUnknownError):
        hook.send_invite(NUMBER, MESSAGE)
    assert len(server.seen) == 2


def test_an_answer_that_comes_after_an_interim_one_is_not_taken_for_that_of_the_next_invite(wire, hook_for):
    def hint_then_answer(sock):
        sock.sendall(answer(103, b"", "Link: </x>", "X-Length: 0").replace(b"Content-Length: 0\r\n", b""))
        time.sleep(0.2)
        sock.sendall(answer(200, {**ACCEPTED, "messageId": "of-the-first"}))

    server = wire(hint_then_answer, answer(200, {**ACCEPTED, "messageId": "of-the-second"}))
    hook = hook_for(server)
    with pytest.raises(InviteUnknownError):
        hook.send_invite(NUMBER, MESSAGE)
    assert hook.send_invite(NUMBER, MESSAGE).message_id == "of-the-second"


def test_100_continue_is_waited_through(wire, hook_for):
    server = wire(b"HTTP/1.1 100 Continue\r\n\r\n" + answer())
    assert hook_for(server).send_invite(NUMBER, MESSAGE).message_id == ACCEPTED["messageId"]
    assert len(server.seen) == 1


def test_cookies_are_not_kept(wire, hook_for):
    server = wire(answer(200, ACCEPTED, "Set-Cookie: session=1; Path=/"))
    hook = hook_for(server)
    hook.send_invite(NUMBER, MESSAGE)
    hook.send_invite(NUMBER, MESSAGE)
    assert "cookie" not in server.seen[1].headers


def test_netrc_does_not_override_the_connection(wire, hook_for, monkeypatch, tmp_path: Path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login other password stolen\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server = wire()
    hook_for(server).send_invite(NUMBER, MESSAGE)
    hook_for(server, extra={"auth_type": "api_key"}).send_invite(NUMBER, MESSAGE)
    assert [seen.headers["authorization"] for seen in server.seen] == [
        "Basic dXNlcjpwYXNzLXdvcmQtMQ==",
        "App pass-word-1",
    ]


def test_threads_share_a_hook_and_each_invite_leaves_once(sandbox, hook_for):
    hook = hook_for(sandbox)
    hook.get_conn()
    numbers = [str(41793026700 + n) for n in range(64)]

    def send(share: list[str]) -> None:
        for number in share:
            hook.send_invite(number, MESSAGE)

    threads = [threading.Thread(target=send, args=(numbers[n::8],)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(receipt.to for receipt in sandbox.accepted) == numbers


def test_stop_ends_the_repeats_at_once(sandbox, hook_for):
    sandbox.script("429-retry-after:30000")
    hook = hook_for(sandbox, retry_budget=60_000)
    hook.get_conn()

    def stop() -> None:
        wait_until(lambda: sandbox.requests_seen)
        hook.stop()

    threading.Thread(target=stop).start()
    with pytest.raises(InviteNotSentError):
        hook.send_invite(NUMBER, MESSAGE)
    assert sandbox.requests_seen == 1


def test_nothing_is_sent_after_stop(sandbox, hook_for):
    hook = hook_for(sandbox, retry_budget=60)
    hook.get_conn()
    hook.stop()
    with pytest.raises(InviteNotSentError, match="sending was stopped"):
        hook.send_invite(NUMBER, MESSAGE)
    assert sandbox.requests_seen == 0


def test_close_and_stop_of_a_hook_that_was_not_used_look_nothing_up():
    from airflow_provider_omnichat.hooks.omnichat import OmnichatHook

    hook = OmnichatHook("no_such_connection")
    hook.stop()
    hook.close()


def test_the_sandbox_is_reached_with_the_connection_it_prints(sandbox, monkeypatch):
    from airflow_provider_omnichat.hooks.omnichat import OmnichatHook

    monkeypatch.setenv("AIRFLOW_CONN_OMNICHAT_DEFAULT", sandbox.airflow_connection)
    hook = OmnichatHook()
    hook.send_invite(NUMBER, MESSAGE)
    hook.close()
    assert len(sandbox.accepted) == 1
