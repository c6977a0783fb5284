"""The faults: what each does on the connection, and whether the vendor has taken the invite nevertheless."""

from __future__ import annotations

import asyncio
import shutil
import textwrap
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import formatdate
from math import isfinite
from typing import NoReturn

from aiohttp import web

from airflow_provider_omnichat.sandbox import replies
from airflow_provider_omnichat.sandbox.statuses import REFUSALS, UNKNOWN, Status

Play = Callable[[web.Request, bytes, str], Awaitable[web.StreamResponse]]
"""Takes the request, the body that a healthy answer would have, and the argument of the fault."""


@dataclass(frozen=True)
class Fault:
    """One kind of failure: what the client sees (*does*), and whether an SMS would have gone out (*accepted*)."""

    name: str
    does: str
    accepted: bool
    http_status: int | None  # None for no answer
    play: Play
    argument: str | None = None  # one of ARGUMENTS
    default: str = ""
    # The status of the invite, made of the argument; None for the ordinary one.
    status: Callable[[str], Status] | None = None


def answering(make: Callable[[web.Request, bytes, str], web.Response]) -> Play:
    """Return a play that answers at once with what *make* builds of the request, the healthy body and the argument."""

    async def play(request: web.Request, body: bytes, arg: str) -> web.StreamResponse:
        return make(request, body, arg)

    return play


plain = answering(lambda request, body, arg: replies.ok(body))


def _error(status: int) -> Play:
    return answering(lambda request, body, arg: replies.error(request, status))


def _retry_after(status: int, header: Callable[[float], str] = "{:g}".format) -> Play:
    return answering(
        lambda request, body, arg: replies.error(request, status, None, {"Retry-After": header(float(arg))})
    )


def _seconds_ahead(seconds: float) -> str:
    return formatdate(time.time() + seconds, usegmt=True)


async def _late(request: web.Request, body: bytes, arg: str) -> web.StreamResponse:
    await asyncio.sleep(float(arg))
    return replies.ok(body)


async def _hang(request: web.Request, body: bytes, arg: str) -> NoReturn:
    await asyncio.Event().wait()  # the server cancels this handler when the client goes away
    raise AssertionError("nothing sets this event")


async def _drop(request: web.Request, body: bytes, arg: str) -> NoReturn:
    if request.transport is not None:
        request.transport.abort()
    await _hang(request, body, arg)


async def _truncated(request: web.Request, body: bytes, arg: str) -> web.StreamResponse:
    response = await _begin(request, body)
    await response.write(body[: len(body) // 2])
    await _drop(request, body, arg)


async def _dripping(request: web.Request, body: bytes, arg: str) -> web.StreamResponse:
    response = await _begin(request, body)
    for position in range(len(body)):  # no single read is slow, so a time-out for each read does not notice
        await response.write(body[position : position + 1])
        await asyncio.sleep(float(arg))
    await response.write_eof()
    return response


async def _begin(request: web.Request, body: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": str(len(body)), "Content-Type": replies.JSON_TYPE})
    await response.prepare(request)
    return response


async def _redirect(request: web.Request, body: bytes, arg: str) -> web.StreamResponse:
    return web.Response(status=307, headers={"Location": f"http://{arg or request.host}{request.raw_path}"})


def _is_seconds(arg: str) -> bool:
    try:
        value = float(arg)
    except ValueError:
        return False
    return isfinite(value) and value >= 0


def _is_address(arg: str) -> bool:
    host, colon, port = arg.rpartition(":")
    return arg == "" or (bool(host and colon) and port.isdecimal() and "/" not in host)


ARGUMENTS: dict[str, Callable[[str], bool]] = {
    "seconds": _is_seconds,
    "status id": lambda arg: arg.isdecimal() and int(arg) in REFUSALS,
    "host:port": _is_address,
}

_DATE = "429 with Retry-After as an HTTP date, ARG seconds ahead"
_REFUSED = "200 that refuses the invite with status id ARG"
_NEW_STATUS = "200 with a status group and fields that are not documented"
_GARBAGE = b'{"to": \xff\xfe, "messageCount": ]'
_BAD_GATEWAY = answering(lambda *_: replies.html(502, "502 Bad Gateway"))
_WELCOME = answering(lambda *_: replies.html(200, "Welcome"))
_NEWER = answering(lambda request, *_: replies.error(request, 400, {"message": ["is not acceptable"]}, newer=True))
_TABLE = (
    Fault("latency", "answers late, by ARG seconds", True, 200, _late, "seconds", "1"),
    Fault("429", "429 without Retry-After", False, 429, _error(429)),
    Fault("429-retry-after", "429 with Retry-After: ARG", False, 429, _retry_after(429), "seconds", "1"),
    Fault("429-retry-after-date", _DATE, False, 429, _retry_after(429, _seconds_ahead), "seconds", "2"),
    Fault("503", "503 without Retry-After", False, 503, _error(503)),
    Fault("503-retry-after", "503 with Retry-After: ARG", False, 503, _retry_after(503), "seconds", "1"),
    Fault("500-before", "500, before the invite is taken", False, 500, _error(500)),
    Fault("500-after", "500, after the invite is taken", True, 500, _error(500)),
    Fault("drop-before", "breaks the connection before the invite is taken", False, None, _drop),
    Fault("drop-after", "breaks the connection after the invite is taken", True, None, _drop),
    Fault("hang-before", "never answers; the invite is not taken", False, None, _hang),
    Fault("hang-after", "never answers; the invite is taken", True, None, _hang),
    Fault("truncated", "200, breaks the connection half-way through the body", True, 200, _truncated),
    Fault("slow-body", "200, one byte of the body each ARG seconds", True, 200, _dripping, "seconds", "0.1"),
    Fault("html", "502 with an HTML page", False, 502, _BAD_GATEWAY),
    Fault("html-200", "200 with an HTML page", True, 200, _WELCOME),
    Fault("garbage-200", "200 with a body that is not JSON", True, 200, answering(lambda *_: replies.ok(_GARBAGE))),
    Fault("rejected", _REFUSED, False, 200, plain, "status id", "52", lambda arg: REFUSALS[int(arg)]),
    Fault("unknown-status", _NEW_STATUS, True, 200, plain, status=lambda arg: UNKNOWN),
    Fault("400", "400", False, 400, _error(400)),
    Fault("401", "401", False, 401, _error(401)),
    Fault("403", "403", False, 403, _error(403)),
    Fault("404", "404", False, 404, _error(404)),
    Fault("new-error", "400 in the newer error body, also for an invite", False, 400, _NEWER),
    Fault("redirect", "307 to ARG, or to this server itself", False, 307, _redirect, "host:port"),
)

FAULTS = {fault.name: fault for fault in _TABLE}

_HEAD = "faults (RATE: share of invites that meet it, 0 to 1, 1 unless given; +: the invite is accepted):"


def as_text() -> str:
    """Return the table for a terminal."""
    width = max(60, min(shutil.get_terminal_size().columns, 120))
    lines = [_HEAD]
    for fault in FAULTS.values():
        argument = f" (ARG: {described_argument(fault)})" if fault.argument else ""
        head = f"  {'+' if fault.accepted else ' '} {fault.name}"
        lines.append(textwrap.fill(f"{head:26}{fault.does}{argument}", width, subsequent_indent=" " * 26))
    return "\n".join(lines)


def described_argument(fault: Fault) -> str:
    """Return the kind of argument and its default, for people."""
    return f"{fault.argument}, default {fault.default or 'this server'}" if fault.argument else ""
