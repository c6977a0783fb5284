"""One time-out for a whole exchange, whatever the bytes do: no single read below is slow, and none of it ends."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Thread

import pytest

from airflow_provider_omnichat.api.errors import InviteNotSentError, InviteUnknownError
from tests.support.both_clients import not_sent, send, unknown
from tests.support.patience import wait_until
from tests.support.proxy_server import OPEN, TARGET
from tests.support.wire_server import answer, dripping

TIMEOUT = {"timeout": 0.3}
CHUNKED = answer(200, b"", "Transfer-Encoding: chunked")
PAUSE, DROPS = 0.05, 2000


def flooding(head: bytes, drop: bytes) -> Callable[[socket.socket], None]:
    """Send *head*, then *drop* for as long as somebody takes it."""

    def play(sock: socket.socket) -> None:
        sock.sendall(head)
        while True:
            sock.sendall(drop)

    return play


def drips(head: bytes, drop: bytes) -> Callable[[socket.socket], None]:
    """Send *head*, then *drop* again and again, for 100 seconds."""
    play = dripping(head, drop, PAUSE, DROPS)
    assert callable(play)
    return play


ENDLESS = {
    "a status line": drips(b"", b"H"),
    "the name of a header": drips(b"HTTP/1.1 200 OK\r\n", b"x"),
    "a header": drips(b"HTTP/1.1 200 OK\r\nX: ", b"x"),
    "headers": drips(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "interim answers that drip": drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "interim answers that flood": flooding(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "hints that flood": flooding(b"", b"HTTP/1.1 103 Hints\r\n\r\n" * 1000),
    "a body": drips(answer(200, b"", "Content-Length: 100000"), b"x"),
    "a body without a length": drips(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"x"),
    "chunks": drips(CHUNKED, b"1\r\nx\r\n"),
    "the size of a chunk": drips(CHUNKED, b"0"),
    "the extension of a chunk that floods": flooding(CHUNKED + b"1;", b"x" * 65536),
    "trailers": drips(CHUNKED + b"0\r\n", b"X: y\r\n"),
    "trailers that flood": flooding(CHUNKED + b"0\r\n", b"X: y\r\n" * 1000),
    "gzip of nothing": drips(
        answer(200, b"", "Content-Encoding: gzip", "Content-Length: 1000000"),
        b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0",
    ),
    "gzip of nothing that floods": flooding(
        answer(200, b"", "Content-Encoding: gzip", "Transfer-Encoding: chunked"),
        b"14\r\n\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0\r\n" * 1000,
    ),
    "the name of a file in gzip": flooding(
        answer(200, b"", "Content-Encoding: gzip", "Transfer-Encoding: chunked")
        + b"a\r\n\x1f\x8b\x08\x08\0\0\0\0\0\x03\r\n",
        b"1\r\nx\r\n" * 1000,
    ),
}


@pytest.mark.parametrize("endless", ENDLESS.values(), ids=ENDLESS)
def test_an_answer_without_an_end_is_unknown_in_time(client, wire, hook_for, endless):
    server = wire(endless)
    begin = time.monotonic()
    unknown(hook_for(server, extra=TIMEOUT), client)
    assert time.monotonic() - begin < 60  # and not 100, or for ever
    wait_until(lambda: server.seen)  # which a busy machine may not have read yet
    assert len(server.seen) == 1


def test_an_answer_that_drips_in_records_of_tls_is_unknown_in_time(client, wire, hook_for, trusted):
    begin = time.monotonic()
    unknown(hook_for(wire(drips(b"HTTP/1.1 200 OK\r\nX: ", b"x"), tls=trusted), extra=TIMEOUT), client)
    assert time.monotonic() - begin < 60


def handshake(sock: socket.socket) -> None:
    """Begin a record of 16 KB, whose bytes come one by one."""
    drips(b"\x16\x03\x03\x3f\xff", b"\x02")(sock)


def handshake_in_tunnel(sock: socket.socket) -> None:
    sock.sendall(OPEN)
    sock.recv(1)
    handshake(sock)


TUNNELS = {
    "drips": drips(b"HTTP/1.1 2", b"0"),
    "interim answers that drip": drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "interim answers that flood": flooding(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "headers that flood": flooding(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 1000),
    "a handshake that drips": handshake_in_tunnel,
}


@pytest.mark.parametrize("proxy_over_tls", [False, True], ids=["http proxy", "https proxy"])
@pytest.mark.parametrize("tunnel", TUNNELS.values(), ids=TUNNELS)
def test_a_tunnel_without_an_end_is_not_sent_in_time(
    client, hook_for, proxy_of, trusted, monkeypatch, tunnel, proxy_over_tls
):
    proxy = proxy_of(tunnel, tls=trusted if proxy_over_tls else None)
    monkeypatch.setenv("https_proxy", proxy.url)
    begin = time.monotonic()
    (error,) = send(hook_for(TARGET, extra=TIMEOUT), client)
    # Interim answers that flood keep aiohttp so busy that its two timers end together: then it cannot tell.
    assert type(error) in (InviteNotSentError, InviteUnknownError), repr(error)
    assert type(error) is InviteNotSentError or (client == "async" and tunnel is TUNNELS["interim answers that flood"])
    assert time.monotonic() - begin < 60


def test_a_handshake_that_drips_is_not_sent_in_time(client, hook_for):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            sock, _ = listener.accept()
            with sock, suppress(OSError):
                handshake(sock)

        thread = Thread(target=serve)
        thread.start()
        begin = time.monotonic()
        not_sent(hook_for(f"https://127.0.0.1:{listener.getsockname()[1]}", extra=TIMEOUT), client)
        assert time.monotonic() - begin < 60
        thread.join()
