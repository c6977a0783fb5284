"""A server that takes each invite as an SMS, and answers it with what chance makes of the right answer."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from random import Random
from types import TracebackType

from tests.support.attacks import chance
from tests.support.wire_server import ACCEPTED, Seen, WireServer, answer, read_request

OTHER = "4915123456789"
# By which a client may send again: the vendor has refused it.
_REFUSED = re.compile(rb"\s*HTTP/\d\.\d +(4\d\d|307|308|503)")
_BYTES = b'0159,:"{}[]\r\n \x00\xffHT'


def id_of(to: str) -> str:
    """A message id that only this number's answer has."""
    return "id-" + "".join(chr(ord("a") + int(digit)) for digit in to) * 2


def answer_to(to: str, echo: str = "") -> bytes:
    status = {**ACCEPTED["status"], "description": f"to {to}: {echo}"}  # type: ignore[dict-item]
    return answer(200, {**ACCEPTED, "to": to, "messageId": id_of(to), "status": status})


def _flipped(by: Random, own: bytes, _: bytes) -> list[bytes]:
    made = bytearray(own)
    for _turn in range(by.randint(1, 4)):
        at = by.randrange(len(made))
        made[at] = by.choice([made[at] ^ (1 << by.randrange(8)), by.choice(_BYTES)])
    return [bytes(made)]


def _spliced(by: Random, own: bytes, _: bytes) -> list[bytes]:
    one, two = by.randrange(len(own)), by.randrange(len(own))
    return [own[:one] + own[two:]]  # a piece is gone, or there twice


def _in_pieces(by: Random, own: bytes, _: bytes) -> list[bytes]:
    places = sorted(by.sample(range(1, len(own)), by.randint(1, 5)))
    return [own[begin:end] for begin, end in zip([0, *places], [*places, None], strict=True)]


TRICKS: dict[str, Callable[[Random, bytes, bytes], list[bytes]]] = {
    "right": lambda by, own, other: [own],
    "flipped": _flipped,
    "flipped again": _flipped,
    "spliced": _spliced,
    "cut": lambda by, own, other: [own[: by.randrange(len(own))]],
    "in pieces": _in_pieces,
    "twice": lambda by, own, other: [own + own],
    "another's instead": lambda by, own, other: [other],
    "another's before": lambda by, own, other: by.choice([[other, own], [other + own]]),
    "another's behind": lambda by, own, other: by.choice([[own, other], [own + other], [own, other[:40], other[40:]]]),
    "rubbish behind": lambda by, own, other: [own, by.randbytes(by.randint(1, 30))],
    "rubbish before": lambda by, own, other: [by.randbytes(by.randint(1, 30)) + own],
}


class HostileServer(WireServer):
    """
    Counts what people get.

    :param case: what its chance is drawn by.
    :param echo: that its answers repeat: the text, the password.
    """

    def __init__(self, case: object, echo: str = "") -> None:
        super().__init__()
        self.sms: Counter[str] = Counter()
        self.tricks: Counter[str] = Counter()
        self._case, self._echo = case, echo
        self._asked: Counter[str] = Counter()
        self._serving: list[threading.Thread] = []
        self._is_over = threading.Event()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        super().__exit__(kind, error, trace)
        for thread in self._serving:
            thread.join(20)

    def _serve(self, sock: socket.socket, number: int) -> None:
        self._serving.append(threading.current_thread())
        by, other = chance(self._case, "connection", number), answer_to(OTHER)
        with suppress(OSError, ValueError), sock:
            if by.random() < 0.05:
                self._count("before any request")
                sock.sendall(other)
            while True:
                if by.random() < 0.05 and sock.recv(1, socket.MSG_PEEK):
                    self._count("before the request is read")
                    sock.sendall(other)
                seen = read_request(sock, number)
                if seen is None or not self._answer(sock, seen):
                    return

    def _answer(self, sock: socket.socket, seen: Seen) -> bool:
        to = json.loads(seen.body)["to"]
        with self._lock:
            self.seen.append(seen)
            self.sms[to] += 1
            self._asked[to] += 1
            by = chance(self._case, to, self._asked[to])
        name = by.choice(list(TRICKS))
        pieces = TRICKS[name](by, answer_to(to, self._echo), answer_to(OTHER))
        self._count(name)
        if _REFUSED.match(b"".join(pieces)):
            with self._lock:
                self.sms[to] -= 1
        for piece in pieces:
            sock.sendall(piece)
            time.sleep(0.01 if len(pieces) > 1 else 0)
        end = by.choices(["go on", "close", "reset", "hang"], [6, 1, 1, 0.3] if name != "cut" else [0, 5, 4, 1])[0]
        if end == "hang":
            self._is_over.wait(20)
        elif end == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        return end == "go on"

    def _count(self, name: str) -> None:
        with self._lock:
            self.tricks[name] += 1
