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

from tests.support.attacks import TRIED, chance
from tests.support.wire_server import ACCEPTED, Seen, WireServer, answer, read_request

OTHER = "4915123456789"
# After these a client may send again: the vendor has refused it.
_REFUSED = re.compile(rb"\s*HTTP/\d\.\d +(4\d\d|307|308|503)")
_BYTES = b'0159,:"{}[]\r\n \x00\xffHT'


def id_of(to: str) -> str:
    """A message id that only this number's answer has."""
    return "id-" + "".join(chr(ord("a") + int(digit)) for digit in to) * 2


def _answer_to(to: str, echo: str = "") -> bytes:
    status = {**ACCEPTED["status"], "description": f"to {to}: {echo}"}  # type: ignore[dict-item]
    return answer(200, {**ACCEPTED, "to": to, "messageId": id_of(to), "status": status})


def _flipped(by: Random, own: bytes) -> list[bytes]:
    made = bytearray(own)
    for at in by.sample(range(len(made)), by.randint(1, 4)):
        made[at] = by.choice([made[at] ^ (1 << by.randrange(8)), by.choice(_BYTES)])
    return [bytes(made)]


def _in_pieces(by: Random, own: bytes) -> list[bytes]:
    places = sorted(by.sample(range(1, len(own)), by.randint(1, 5)))
    return [own[begin:end] for begin, end in zip([0, *places], [*places, None], strict=True)]


_STRAY = _answer_to(OTHER)
_TRICKS: list[Callable[[Random, bytes], list[bytes]]] = [
    lambda by, own: [own],
    _flipped,
    _flipped,
    _in_pieces,
    lambda by, own: [own[: by.randrange(len(own))] + own[by.randrange(len(own)) :]],  # a piece is gone, or there twice
    lambda by, own: [own[: by.randrange(len(own))]],
    lambda by, own: [own + own],
    lambda by, own: by.choice([[_STRAY], [_STRAY, own], [_STRAY + own]]),
    lambda by, own: by.choice([[own, _STRAY], [own + _STRAY], [own, _STRAY[:40], _STRAY[40:]]]),
    lambda by, own: [own, by.randbytes(by.randint(1, 30))],
    lambda by, own: [by.randbytes(by.randint(1, 30)) + own],
]


class HostileServer(WireServer):
    """
    Counts what people get.

    :param case: what its chance is drawn by.
    :param echo: that its answers repeat: the text, the password.
    """

    def __init__(self, case: object, echo: str = "") -> None:
        super().__init__()
        self.sms: Counter[str] = Counter()
        self._case, self._echo = case, echo
        self._asked: Counter[str] = Counter()
        self._serving: list[threading.Thread] = []
        self._is_over = threading.Event()

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        super().__exit__(None, None, None)
        for thread in self._serving:
            thread.join(20)

    def _serve(self, sock: socket.socket, number: int) -> None:
        self._serving.append(threading.current_thread())
        by = chance(self._case, "connection", number)
        with suppress(OSError, ValueError), sock:
            if by.random() < 0.05:  # before any request
                sock.sendall(_STRAY)
            while True:
                if by.random() < 0.05 and sock.recv(1, socket.MSG_PEEK):  # before the request is read
                    sock.sendall(_STRAY)
                seen = read_request(sock, number)
                if seen is None or not self._answer(sock, seen):
                    return

    def _answer(self, sock: socket.socket, seen: Seen) -> bool:
        to = json.loads(seen.body)["to"]
        with self._lock:
            TRIED["hostile answers"] += 1
            self._asked[to] += 1
            by = chance(self._case, to, self._asked[to])
            pieces = by.choice(_TRICKS)(by, _answer_to(to, self._echo))
            self.sms[to] += not _REFUSED.match(b"".join(pieces))
        for piece in pieces:
            sock.sendall(piece)
            time.sleep(0.01 if len(pieces) > 1 else 0)
        end = by.choices(["go on", "close", "reset", "hang"], [6, 2, 2, 0.3])[0]
        if end == "hang":
            self._is_over.wait(20)
        elif end == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        return end == "go on"
