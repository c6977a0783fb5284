"""Answers of the vendor that many tests play."""

from __future__ import annotations

import gzip
import json
from typing import Any

from tests.support.patience import PATIENCE_SECONDS
from tests.support.wire_server import ACCEPTED, Play, answer, then_close, then_reset


def with_status(**status: Any) -> bytes:
    return answer(200, {**ACCEPTED, "status": {**ACCEPTED["status"], **status}})  # type: ignore[dict-item]


BROKEN = {
    "closed at once": then_close(),
    "reset at once": then_reset(),
    "reset in the status line": then_reset(b"HTTP/1.1 20"),
    "reset in the headers": then_reset(b"HTTP/1.1 200 OK\r\nContent-Ty"),
    "reset in the body": then_reset(answer()[:-20]),
    "closed in the body": then_close(answer()[:-20]),
    "no HTTP": then_close(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "200 without a body": answer(200, b""),
    "204": answer(204, b""),
    "202 without JSON": answer(202, b"queued"),
    "two lengths that differ, in one header": answer(200, ACCEPTED, "Content-Length: 10, 20"),
    "two lengths that differ, in two headers": answer(200, ACCEPTED, "Content-Length: 10", "Content-Length: 20"),
    "a length that cuts the JSON": answer(200, ACCEPTED, "Content-Length: 10"),
    "chunks cut short": then_close(answer(200, b"10\r\n{", "Transfer-Encoding: chunked")),
    "chunks of no size": answer(200, b"zz\r\n{}\r\n", "Transfer-Encoding: chunked"),
    "gzip": answer(200, gzip.compress(json.dumps(ACCEPTED).encode()), "Content-Encoding: gzip"),
    "not really gzip": answer(200, ACCEPTED, "Content-Encoding: gzip"),
    "a status twice": answer(200, f'{{"status": {{"groupId": 5}}, {json.dumps(ACCEPTED)[1:]}'),
    "a group twice": answer(200, b'{"messageId": "1", "status": {"groupId": 5, "groupId": 1}}'),
    "a field twice, far inside": answer(200, f'{{"x": [{{"y": [{{"z": 1, "z": 1}}]}}], {json.dumps(ACCEPTED)[1:]}'),
    "an answer for another person": answer(200, {**ACCEPTED, "to": "4915123456789"}),
    "a body of 70 KB": answer(200, {**ACCEPTED, "x": "a" * 70_000}),
    "not UTF-8": answer(200, b'{"to":"\xff\xfe"}'),
    "a huge body": answer(200, b'{"x":"' + b"a" * (2 << 20) + b'"}'),
    "deep JSON": answer(200, b"[" * 100_000),
    "a huge number": answer(200, b'{"messageId":' + b"9" * 5000 + b"}"),
    "an early hint": answer(103, b"", "Link: </x>"),
    "201 headers": answer(200, ACCEPTED, *(f"X-{n}: 1" for n in range(201))),
    "a long header": answer(200, ACCEPTED, f"X: {'a' * 70_000}"),
    "500": answer(500, {}),
    "502": answer(502, b"<html>Bad Gateway</html>", "Content-Type: text/html"),
    "503 with a Retry-After that is nonsense": answer(503, {}, "Retry-After: soon"),
    "503 with two Retry-After that are nonsense": answer(503, {}, "Retry-After: soon", "Retry-After: -1"),
    "504": answer(504, {}),
    "599": answer(599, {}),
    "304": answer(304, b""),
    "408": answer(408, {}),
    "409": answer(409, {}),
    "a list": answer(200, [ACCEPTED]),
    "null": answer(200, b"null"),
    "no status": answer(200, {"messageId": "1"}),
    "status a text": answer(200, {**ACCEPTED, "status": "PENDING"}),
    "status without group": answer(200, {**ACCEPTED, "status": {"name": "PENDING"}}),
    "group null": with_status(groupId=None),
    "group a bool": with_status(groupId=True),
    "group a fraction": with_status(groupId=1.5),
    "group NaN": with_status(groupId=float("nan")),
    "group 6": with_status(groupId=6),
    "group -1": with_status(groupId=-1),
    "accepted without messageId": answer(200, {"status": {"groupId": 1, "id": 7}}),
    "accepted with an empty messageId": answer(200, {**ACCEPTED, "messageId": ""}),
    "an error inside a 200": answer(200, {"requestError": {"serviceException": {"messageId": "X"}}}),
}


def time_out_for(play: Play) -> float:
    """Return a client's time-out: short if no answer comes, else longer than any answer takes."""
    return 1 if play in (b"", BROKEN["an early hint"]) else PATIENCE_SECONDS
