"""How a fault is played out on the connection: what the client gets instead of the plain answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import NoReturn

from aiohttp import web

from airflow_provider_omnichat.sandbox import replies

Play = Callable[[web.Request, bytes, str], Awaitable[web.StreamResponse]]
"""Takes the request, the body that a healthy answer would have, and the argument of the fault."""


async def plain(request: web.Request, body: bytes, arg: str) -> web.StreamResponse:
    """Answer as if nothing were wrong."""
    return replies.ok(body)


async def late(request: web.Request, body: bytes, arg: str) -> web.StreamResponse:
    """Answer, but only after ``arg`` seconds."""
    await asyncio.sleep(float(arg))
    return replies.ok(body)


def error(status: int) -> Play:
    """Return a play that answers with the old error body."""

    async def play(request: web.Request, body: bytes, arg: str) -> web.StreamResponse:
        return replies.old_error(status)

    return play


def retry_after_seconds(status: int) -> Play:
    """Return a play that answers with an error and ``Retry-After`` in seconds."""

    async def play(request: web.Request, body: bytes, arg: str) -> web.StreamResponse:
        return replies.old_error(status, headers={"Retry-After": f"{float(arg):g}"})

    return play


async def retry_after_date(request: web.Request, body: bytes, arg: str) -> web.StreamResponse:
    """Answer 429 with ``Retry-After`` as an HTTP date, ``arg`` seconds ahead."""
    return replies.old_error(429, headers={"Retry-After": formatdate(time.time() + float(arg), usegmt=True)})


async def hang(request: web.Request, body: bytes, arg: str) -> NoReturn:
    """Never answer. The server cancels this handler when the client goes away."""
    await asyncio.Event().wait()
    raise AssertionError("nothing sets this event")


async def drop(request: web.Request, body: bytes, arg: str) -> NoReturn:
    """Break the connection without a byte of answer."""
    if request.transport is not None:
        request.transport.abort()
    await hang(request, body, arg)


async def truncated(request: web.Request, body: bytes, arg: str) -> web.StreamResponse:
    """Announce the whole body, send half of it, break the connection."""
    response = await _open(request, body)
    await response.write(body[: len(body) // 2])
    await drop(request, body, arg)


async def dripping(request: web.Request, body: bytes, arg: str) -> web.StreamResponse:
    """Send a byte each ``arg`` seconds: no single read is slow, so a time-out for each read does not see it."""
    response = await _open(request, body)
    for position in range(len(body)):
        await response.write(body[position : position + 1])
        await asyncio.sleep(float(arg))
    await response.write_eof()
    return response


async def _open(request: web.Request, body: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": str(len(body)), "Content-Type": replies.JSON_TYPE})
    await response.prepare(request)
    return response


async def bad_gateway(request: web.Request, body: bytes, arg: str) -> web.StreamResponse:
    """Answer 502 with a page."""
    return replies.html(502, "502 Bad Gateway")


async def html_ok(request: web.Request, body: bytes, arg: str) -> web.StreamResponse:
    """Answer 200 with a page."""
    return replies.html(200, "Welcome")


async def garbage(request: web.Request, body: bytes, arg: str) -> web.StreamResponse:
    """Answer 200 with a body that claims to be JSON and is not."""
    return replies.ok(b'{"to": \xff\xfe, "messageCount": ]')


async def new_error(request: web.Request, body: bytes, arg: str) -> web.StreamResponse:
    """Answer 400 with the newer error body."""
    return replies.new_error(400)


async def redirect(request: web.Request, body: bytes, arg: str) -> web.StreamResponse:
    """Answer 307 to the same path on another server, or on this one."""
    location = f"http://{arg or request.host}{request.raw_path}"
    return web.Response(status=307, headers={"Location": location})
