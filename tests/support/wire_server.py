"""A server that plays back bytes: for answers that no well-behaved HTTP library would give."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

ACCEPTED = {
    "to": "41793026727",
    "messageCount": 1,
    "messageId": "1215f543ab19-345f-adbd-12ad31451ed25f35",
    "status": {
        "groupId": 1,
        "groupName": "PENDING",
        "id": 7,
        "name": "PENDING_ENROUTE",
        "description": "Message sent to next instance",
    },
}

Play = bytes | Callable[[socket.socket], None]
"""What a request is answered with: bytes, after which the connection stays open, or a function of the socket."""


@dataclass(frozen=True)
class Seen:
    """A request as it came, and the number of the TCP connection it came on."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int


def answer(status: int = 200, body: bytes | str | object = ACCEPTED, *headers: str) -> bytes:
    """An HTTP answer with the length of its body; *body* that is no text becomes JSON."""
    if not isinstance(body, bytes | str):
        body = json.dumps(body)
    if isinstance(body, str):
        body = body.encode()
    lines = [f"HTTP/1.1 {status} Whatever", *headers]
    if not any(line.lower().startswith(("content-length", "transfer-encoding")) for line in lines):
        lines.append(f"Content-Length: {len(body)}")
    if not any(line.lower().startswith("content-type") for line in lines):
        lines.append("Content-Type: application/json")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def then_close(data: bytes = b"") -> Play:
    """Send *data*, then end the connection in an orderly way."""

    def play(sock: socket.socket) -> None:
        sock.sendall(data)
        sock.close()

    return play


def then_reset(data: bytes = b"") -> Play:
    """Send *data*, then reset the connection (TCP RST)."""

    def play(sock: socket.socket) -> None:
        sock.sendall(data)
        time.sleep(0.05)  # a reset overtakes what the client has not read yet
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        sock.close()

    return play


def dripping(head: bytes, drop: bytes, pause: float, drops: int) -> Play:
    """Send *head*, then *drop* again and again: no single read is slow."""

    def play(sock: socket.socket) -> None:
        sock.sendall(head)
        for _ in range(drops):
            time.sleep(pause)
            sock.sendall(drop)

    return play


class WireServer:
    """
    Plays its script, one entry for each request over all connections; then accepts.

    :param script: what the requests are answered with; None accepts, too.
    :param tls: a server context, for HTTPS.
    """

    def __init__(self, *script: Play | None, tls: ssl.SSLContext | None = None) -> None:
        self.script = list(script)
        self.seen: list[Seen] = []
        self.connections = 0
        self._tls = tls
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._listen, daemon=True)

    @property
    def invites(self) -> list[Seen]:
        """The requests that would each be an SMS."""
        return [seen for seen in self.seen if seen.method == "POST" and seen.path.endswith("/invite")]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        self.close_connections()

    def close_connections(self) -> None:
        """End all connections that are open, as a server does after an idle time."""
        for sock in self._open:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        self._open.clear()

    def _listen(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(sock)
            threading.Thread(target=self._serve, args=(sock, self.connections), daemon=True).start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        try:
            if self._tls:
                sock = self._tls.wrap_socket(sock, server_side=True)
                self._open.append(sock)
            while seen := read_request(sock, number):
                with self._lock:
                    self.seen.append(seen)
                    play = self.script.pop(0) if self.script else None
                if play is None:
                    play = _acceptance(seen)
                if isinstance(play, bytes):
                    sock.sendall(play)
                else:
                    play(sock)
        except (OSError, ValueError):
            sock.close()


def _acceptance(seen: Seen) -> bytes:
    """Accept an invite for the number it is to."""
    return answer(200, {**ACCEPTED, "to": json.loads(seen.body)["to"]}) if seen.path.endswith("/invite") else answer()


def read_request(sock: socket.socket, number: int) -> Seen | None:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        if not piece:
            return None
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        piece = sock.recv(65536)
        if not piece:
            return None
        body += piece
    method, path, _ = first.split(" ")
    return Seen(method, path, headers, body, number)


def refused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
