"""The sandbox's own endpoints: the page, the outbox as JSON, and the faults."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from airflow_provider_omnichat.sandbox.account import ACCOUNT
from airflow_provider_omnichat.sandbox.body import object_in
from airflow_provider_omnichat.sandbox.fault_plan import FaultError, FaultPlan
from airflow_provider_omnichat.sandbox.faults import FAULTS
from airflow_provider_omnichat.sandbox.page import outbox_page
from airflow_provider_omnichat.sandbox.replies import as_json
from airflow_provider_omnichat.sandbox.settings import is_loopback

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def guarded(handler: Handler) -> Handler:
    """Refuse what a web page elsewhere could make a browser send: a foreign ``Origin``, or a rebound host name."""

    async def guard(request: web.Request) -> web.StreamResponse:
        host = request.headers.get("Host", "")
        name = re.match(r"\[[^\]]*\]|[^:]*", host.lower())
        if not request.app[ACCOUNT].settings.allow_remote and not (name and is_loopback(name[0])):
            return as_json({"error": "control requests are taken under a loopback host name only"}, 403)
        origin = request.headers.get("Origin")
        if origin is not None and origin != f"http://{host}":
            return as_json({"error": "control requests from another origin are refused"}, 403)
        return await handler(request)

    return guard


@guarded
async def page(request: web.Request) -> web.StreamResponse:
    """Show the outbox to a person."""
    return outbox_page(request.app[ACCOUNT], f"http://{request.host}", request.query)


@guarded
async def read_outbox(request: web.Request) -> web.StreamResponse:
    """Answer with the totals and the receipts, newest first, whole numbers included."""
    outbox = request.app[ACCOUNT].outbox
    asked = request.query.get("limit")
    if asked is not None and not asked.isdecimal():
        return as_json({"error": f"limit must be a number, not {asked!r}"}, 400)
    receipts = [receipt.as_json() for receipt in outbox.latest(int(asked) if asked else None)]
    return as_json({"totals": vars(outbox.totals()), "invites": receipts})


@guarded
async def clear_outbox(request: web.Request) -> web.StreamResponse:
    """Forget what was sent; the form of a browser returns to the page."""
    request.app[ACCOUNT].clear()
    if request.method == "POST" and "text/html" in request.headers.get("Accept", ""):
        return web.Response(status=303, headers={"Location": "/"})
    return web.Response(status=204)


@guarded
async def read_faults(request: web.Request) -> web.StreamResponse:
    """Answer with what is set, and with the table of what can be."""
    known = [
        {"name": fault.name, "does": fault.does, "accepted": fault.accepted, "argument": fault.argument}
        for fault in FAULTS.values()
    ]
    return as_json(request.app[ACCOUNT].plan.as_json() | {"known": known})


@guarded
async def write_faults(request: web.Request) -> web.StreamResponse:
    """Set ``faults`` (replaced), ``script`` (appended) and ``seed`` (started again), as far as they are given."""
    plan = request.app[ACCOUNT].plan
    try:
        _apply(plan, object_in(await request.read()))
    except FaultError as error:
        return as_json({"error": str(error)}, 400)
    return as_json(plan.as_json())


def _apply(plan: FaultPlan, body: dict[str, Any] | None) -> None:
    if body is None or not body.keys() <= {"faults", "script", "seed"}:
        raise FaultError('the body must be a JSON object with "faults", "script" and "seed", each optional')
    faults, script, seed = body.get("faults"), body.get("script", []), body.get("seed")
    if faults is not None and not isinstance(faults, Mapping) and not _are_texts(faults):
        raise FaultError('"faults" must be {"NAME": RATE} or ["NAME:RATE:ARG"]')
    if not _are_texts(script):
        raise FaultError('"script" must be a list of "NAME" or "NAME:ARG", or "ok" for no fault')
    if seed is not None and not isinstance(seed, int):
        raise FaultError('"seed" must be a whole number')
    # All of it or nothing: what can still be refused is tried on a plan that is thrown away.
    trial = FaultPlan(faults or ())
    trial.script(script)
    if faults is not None:
        plan.set(faults)
    plan.script(script)
    if seed is not None:
        plan.reseed(seed)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
