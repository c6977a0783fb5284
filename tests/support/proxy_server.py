"""An HTTP proxy on loopback that opens tunnels, or does to a CONNECT whatever a test wants."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType

from tests.support.wire_server import Play

OPEN = b"HTTP/1.1 200 Connection established\r\n\r\n"


@dataclass(frozen=True)
class Asked:
    """A request to the proxy itself."""

    method: str
    target: str
    headers: dict[str, str]


class ProxyServer:
    """
    Plays its script, one entry for each CONNECT; then opens tunnels.

    :param script: what is done instead of opening a tunnel.
    :param tls: a server context, for a proxy that is itself reached over TLS.
    """

    def __init__(self, *script: Play, tls: ssl.SSLContext | None = None) -> None:
        self.script = list(script)
        self.asked: list[Asked] = []
        self.connections = 0
        self.tunnels = 0
        self._tls = tls
        self._clients: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._threads = [self._listen_in_a_thread()]

    def __enter__(self) -> ProxyServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        for sock in self._clients:
            with suppress(OSError):
                sock.close()

    def stop(self) -> None:
        """
        Go down as a proxy does that is told to: no new connection, and an end to the tunnels.

        What the clients have written by then is passed on to the end, so that the server behind sees all that left.
        """
        if self._listener.fileno() == -1:
            return
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[-1].join()
        for sock in self._clients:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_WR)

    def start(self, *script: Play) -> None:
        """Come up again at the same port."""
        self.script = list(script)
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._threads.append(self._listen_in_a_thread())

    def _listen_in_a_thread(self) -> threading.Thread:
        thread = threading.Thread(target=self._listen, args=(self._listener,), daemon=True)
        thread.start()
        return thread

    def _listen(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            self._clients.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with suppress(OSError, ValueError):
            if self._tls:
                sock = self._tls.wrap_socket(sock, server_side=True)
                self._clients.append(sock)
            asked = _read_head(sock)
            self.asked.append(asked)
            play: Play = self.script.pop(0) if self.script else OPEN
            if not isinstance(play, bytes):
                play(sock)
                return
            sock.sendall(play)
            if play == OPEN:
                self._tunnel(sock, asked.target)

    def _tunnel(self, sock: socket.socket, target: str) -> None:
        self.tunnels += 1
        host, _, port = target.rpartition(":")
        with socket.create_connection((host, int(port))) as onward:
            threading.Thread(target=_pump, args=(onward, sock), daemon=True).start()
            _pump(sock, onward)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _read_head(sock: socket.socket) -> Asked:
    data = b""
    while b"\r\n\r\n" not in data:
        data += sock.recv(1) or _at_the_end()
    first, *lines = data.decode("latin-1").rstrip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Asked(method, target, headers)


def _at_the_end() -> bytes:
    raise ValueError("the client has gone")


TARGET = "https://vendor.test"
SECRET = "proxy-secret"
ENCODED = base64.b64encode(f"proxyuser:{SECRET}".encode()).decode()


def with_secret(proxy: ProxyServer) -> str:
    return proxy.url.replace("//", f"//proxyuser:{SECRET}@")
