"""An answer decides about the invite it was asked for, and about nobody else's."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
import urllib3.connection

from airflow_provider_omnichat.api.errors import InviteNotSentError, InviteUnknownError
from airflow_provider_omnichat.api.identity import can_be
from airflow_provider_omnichat.api.models import InviteAnswer
from airflow_provider_omnichat.api.reasons import ReasonCode
from tests.support.both_clients import accepted, failed, send
from tests.support.example_invite import INVITE, NUMBER
from tests.support.wire_server import ACCEPTED, Play, answer

OTHER = "4915123456789"
STRAY = answer(200, {**ACCEPTED, "messageId": "stray"})
SECOND = answer(200, {**ACCEPTED, "messageId": "second"})
NO_NUMBER = {name: value for name, value in ACCEPTED.items() if name != "to"}


def later(*pieces: bytes, pause: float = 0.05) -> Play:
    """Send pieces one after the other, each in a segment of its own."""

    def play(sock: socket.socket) -> None:
        for piece in pieces:
            sock.sendall(piece)
            time.sleep(pause)

    return play


UNASKED = {
    "behind the answer": answer() + STRAY,
    "while idle": later(answer(), STRAY),
    "in pieces": later(answer(), STRAY[:30], STRAY[30:90], STRAY[90:]),
    "half behind the answer": later(answer() + STRAY[:30], STRAY[30:]),
    "two": later(answer(), STRAY + STRAY),
    "a refusal": later(answer(), answer(401, {})),
    "garbage": later(answer(), b"\x00\xff\r\n\r\n"),
    "one byte": later(answer(), b"H"),
}


@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("unasked", UNASKED.values(), ids=UNASKED)
def test_what_came_unasked_does_not_answer_the_next_invite(client, wire, hook_for, trusted, unasked, over_tls):
    server = wire(unasked, SECOND, tls=trusted if over_tls else None)
    first, second = send(hook_for(server), client, 2, pause=0.25)
    # aiohttp reads an answer and what comes together with it as one: behind garbage there is no answer.
    is_own = isinstance(first, InviteAnswer) and first.message_id == ACCEPTED["messageId"]
    assert is_own or type(first) is InviteUnknownError, repr(first)
    assert isinstance(second, InviteAnswer), repr(second)
    assert second.message_id == "second"
    assert len(server.invites) == 2


def test_an_answer_for_another_person_is_unknown_is_logged_and_ends_the_connection(client, wire, hook_for, caplog):
    """As of a server that is one answer ahead: all later ones on its connection would be another's, too."""
    server = wire(later(answer(200, {**ACCEPTED, "to": OTHER}), pause=0), SECOND)
    first, second = send(hook_for(server), client, 2)
    assert type(first) is InviteUnknownError
    assert first.reason.code is ReasonCode.ANSWER_FOR_ANOTHER
    assert isinstance(second, InviteAnswer), repr(second)
    assert [seen.connection for seen in server.invites] == [1, 2]
    said = caplog.text + str(first)
    assert "The invite to 41793****27 is in doubt: the answer to it is for 49151****89" in said
    assert not any(number in said for number in (NUMBER, OTHER))


def test_a_refusal_of_another_person_is_no_refusal_of_this_one(client, wire, hook_for):
    rejected = {**ACCEPTED, "to": OTHER, "status": {"groupId": 5, "id": 12}}
    failed(hook_for(wire(answer(200, rejected))), client, InviteUnknownError)


@pytest.mark.parametrize(
    "to",
    [NUMBER, f"+{NUMBER}", f"00{NUMBER}", "+41 (79) 302-67.27", "0793026727", int(NUMBER), None, "", "***", "x", {}],
)
def test_an_answer_with_the_number_in_another_writing_or_without_one_is_accepted(client, wire, hook_for, to):
    assert accepted(hook_for(wire(answer(200, {**ACCEPTED, "to": to}))), client).message_id == ACCEPTED["messageId"]


def test_an_answer_that_names_no_number_is_accepted(client, wire, hook_for):
    assert accepted(hook_for(wire(answer(200, NO_NUMBER))), client).to is None


@pytest.mark.parametrize(
    ("number", "said"),
    [("5491112345678", "541112345678"), ("541112345678", "+54 9 11 1234 5678"), ("5215512345678", "525512345678")],
)
def test_both_writings_of_a_mobile_are_one_person(number, said):
    assert can_be(number, said)


@pytest.mark.parametrize(
    "said", [OTHER, f"+{OTHER}", "41793026728", 41793026728, "3026728", "+793026727", "00793026727"]
)
def test_another_number_is_another_person(said):
    assert not can_be(NUMBER, said)


# before the request was written


@pytest.fixture
def slow_to_write(monkeypatch):
    """Let a moment pass between the connection and the request."""
    connect, create = urllib3.connection.HTTPConnection._new_conn, aiohttp.TCPConnector._create_connection

    def connect_and_wait(self: Any) -> Any:
        sock = connect(self)
        time.sleep(0.2)
        return sock

    async def create_and_wait(self: Any, *args: Any) -> Any:
        made = await create(self, *args)
        time.sleep(0.2)  # noqa: ASYNC251 - the event loop shall not see what comes
        return made

    monkeypatch.setattr(urllib3.connection.HTTPConnection, "_new_conn", connect_and_wait)
    monkeypatch.setattr(aiohttp.TCPConnector, "_create_connection", create_and_wait)


def test_to_a_server_that_speaks_first_nothing_is_sent(client, hook_for, slow_to_write):
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.sendall(STRAY)
                with suppress(ConnectionResetError):  # what the client did not read
                    heard.append(sock.recv(1000))

        thread = threading.Thread(target=serve)
        thread.start()
        error = failed(hook_for(f"http://127.0.0.1:{listener.getsockname()[1]}"), client, InviteNotSentError)
        thread.join()
    assert error.retryable
    assert heard in ([], [b""])


def test_an_answer_that_came_before_the_request_was_written_decides_nothing(client, hook_for, monkeypatch):
    """The server answers at the first byte and reads no other, so that the request stays unwritten."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = threading.Event()

        def serve() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.recv(1)
                sock.sendall(STRAY)
                done.wait(20)

        thread = threading.Thread(target=serve)
        thread.start()
        hook = hook_for(f"http://127.0.0.1:{listener.getsockname()[1]}", extra={"timeout": 5})
        monkeypatch.setattr(hook, "check_invite", lambda **_: replace(INVITE, message="x" * (16 << 20)))
        (error,) = send(hook, client)
        done.set()
        thread.join()
    assert type(error) is InviteUnknownError, repr(error)
    assert error.reason.code is ReasonCode.CONNECTION_BROKEN
