"""The endpoints that send. They are the server of a benchmark: what they do for each request is kept short."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_omnichat.sandbox.account import ACCOUNT, Account
from airflow_provider_omnichat.sandbox.fault_plan import SetFault
from airflow_provider_omnichat.sandbox.faults import Fault, answering, plain
from airflow_provider_omnichat.sandbox.invite import Body, answer_invite, count_segments, is_too_long, read_invite
from airflow_provider_omnichat.sandbox.messages import answer_messages, read_messages
from airflow_provider_omnichat.sandbox.outbox import Receipt
from airflow_provider_omnichat.sandbox.replies import error
from airflow_provider_omnichat.sandbox.statuses import DUPLICATE, PENDING, PENDING_ACCEPTED, REFUSALS, Status

if TYPE_CHECKING:
    from aiohttp import web


_Answer = Callable[[list[Receipt]], dict[str, object]]
_SENT = SetFault(Fault("", "", True, 200, plain), "")


async def send_invite(request: web.Request) -> web.StreamResponse:
    """Take an invite whose link the vendor makes."""
    account, path = request.app[ACCOUNT], request.match_info
    key, integration_type = path["key"], path["type"]
    body = read_invite(await request.read(), key, integration_type)
    exists = account.has_application(key) and integration_type in account.settings.integration_types
    return await _send(request, body, PENDING, answer_invite, exists)


async def send_messages(request: web.Request) -> web.StreamResponse:
    """Take one or more SMS with the client's own text and ids."""
    return await _send(request, read_messages(await request.read()), PENDING_ACCEPTED, answer_messages)


async def _send(
    request: web.Request, body: Body, pending: Status, answer: _Answer, exists: bool = True
) -> web.StreamResponse:
    """Judge a request, record its invites, and only then answer, late or wrongly where that is asked for."""
    account = request.app[ACCOUNT]
    account.outbox.requests_seen += 1
    met = _judge(account, request.headers.get("Authorization"), exists, body)
    fault, receipts = met.fault, []
    for asked in body.invites:
        status, accepted, suppressed = _end(account, asked, met, pending)
        receipt = replace(
            asked,
            sequence=account.outbox.next_sequence(),
            time=time.time(),
            segments=count_segments(asked.text),
            message_id=asked.message_id or (_new_message_id() if status else None),
            status=status,
            fault=fault.name or None,
            http_status=fault.http_status,
            accepted=accepted,
            suppressed=suppressed,
        )
        account.record(receipt)
        receipts.append(receipt)
    payload = json.dumps(answer(receipts)).encode() if receipts[0].status is not None else b""
    wait = account.latency()
    if wait:
        await asyncio.sleep(wait)
    return await fault.play(request, payload, met.arg)


def _judge(account: Account, authorization: str | None, exists: bool, body: Body) -> SetFault:
    """Decide a request by the API's own rules first, then by the fault that it meets."""
    if not account.admits(authorization):
        return _refused(401)
    if not exists:
        return _refused(404)
    if account.bucket is not None and not account.bucket.takes():
        headers = {"Retry-After": "1"} if account.settings.rate_limit_retry_after else None
        return _refused(429, "rate-limit", headers=headers)
    if body.problems != {}:
        return _refused(400, validation=body.problems)
    # A fault is drawn only for a request that is in order: a script then names the requests it is meant for, and an
    # accepting fault always means an accepted invite, unless the invite itself is refused.
    return account.plan.next() or _SENT


def _end(account: Account, asked: Receipt, met: SetFault, pending: Status) -> tuple[Status | None, bool, bool]:
    """Return the status of one invite, whether it is accepted, and whether it is suppressed as a repeat."""
    given = met.fault.status and met.fault.status(met.arg)
    if not met.fault.accepted:
        return given, False, False
    if given is None and (refusal := _refusal(account, asked)):
        return refusal, False, False
    is_repeat = account.is_repeat(asked.message_id)
    refused = is_repeat and account.settings.repeated_ids == "at-once"
    return DUPLICATE if refused else given or pending, not is_repeat, is_repeat


def _refusal(account: Account, asked: Receipt) -> Status | None:
    to, text = asked.to, asked.text
    if not (5 <= len(to) <= 15 and to.isascii() and to.isdecimal()):
        return REFUSALS[52]
    # 25 segments hold 825 emojis, of which none take more room; most texts are far from it.
    if len(text) > 825 and is_too_long(text):
        return REFUSALS[25]
    if account.flood_filter is not None and account.flood_filter.refuses(to, asked.message):
        return REFUSALS[20]
    return None


def _new_message_id() -> str:
    """Return an id of the form seen in the vendor's example."""
    digits = secrets.token_hex(18)
    return f"{digits[:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _refused(status: int, name: str = "", **told: Any) -> SetFault:
    return SetFault(Fault(name, "", False, status, answering(lambda request, *_: error(request, status, **told))), "")
