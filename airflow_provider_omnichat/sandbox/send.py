"""The invite endpoint. It is the server of a benchmark: what it does for each request is kept short."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_omnichat.sandbox import replies
from airflow_provider_omnichat.sandbox.account import ACCOUNT, Account
from airflow_provider_omnichat.sandbox.faults import Play, answering, plain
from airflow_provider_omnichat.sandbox.invite import Invite, count_segments, is_too_long, put_link_in, read_invite
from airflow_provider_omnichat.sandbox.outbox import Receipt
from airflow_provider_omnichat.sandbox.replies import Problems
from airflow_provider_omnichat.sandbox.statuses import PENDING, REFUSALS, Status

if TYPE_CHECKING:
    from aiohttp import web


@dataclass(frozen=True, slots=True)
class _Verdict:
    """How one invite request ends; the fields are those of `Receipt`, and how the answer is played out."""

    http_status: int | None
    accepted: bool
    status: Status | None
    fault: str | None
    play: Play
    arg: str = ""


_SENT = _Verdict(200, True, PENDING, None, plain)


async def send_invite(request: web.Request) -> web.StreamResponse:
    """Take one invite: judge it, record it, and only then answer, late or wrongly where that is asked for."""
    account = request.app[ACCOUNT]
    account.outbox.requests_seen += 1
    raw = await request.read()
    path = request.match_info
    key, integration_type = path["key"], path["type"]
    sent = read_invite(raw)
    text = put_link_in(sent, integration_type)
    verdict = _judge(account, request.headers.get("Authorization"), key, integration_type, sent, text)
    segments = count_segments(text)
    message_id = _new_message_id()
    account.record(
        Receipt(
            sequence=account.outbox.next_sequence(),
            time=time.time(),
            to=sent.to,
            message=sent.message,
            text=text,
            segments=segments,
            link_placeholder=sent.link_placeholder,
            application_key=key,
            integration_type=integration_type,
            message_id=message_id if verdict.accepted else None,
            status=verdict.status,
            fault=verdict.fault,
            http_status=verdict.http_status,
            accepted=verdict.accepted,
        )
    )
    body = b""
    if verdict.status is not None:
        status = verdict.status.as_wire()
        body = json.dumps({"to": sent.to, "messageCount": segments, "messageId": message_id, "status": status}).encode()
    wait = account.latency()
    if wait:
        await asyncio.sleep(wait)
    return await verdict.play(request, body, verdict.arg)


def _judge(
    account: Account, authorization: str | None, key: str, integration_type: str, sent: Invite, text: str
) -> _Verdict:
    """Decide an invite request by the API's own rules first, then by the fault that it meets."""
    if not account.admits(authorization):
        return _refused(401)
    if not account.has_application(key) or integration_type not in account.settings.integration_types:
        return _refused(404)
    if account.bucket is not None and not account.bucket.takes():
        headers = {"Retry-After": "1"} if account.settings.rate_limit_retry_after else None
        return _refused(429, fault="rate-limit", headers=headers)
    if sent.problems or not sent.readable:
        return _refused(400, validation=sent.problems)
    # A fault is drawn only for a request that is in order: a script then names the invites it is meant for, and an
    # accepting fault always means an accepted invite, unless the number itself is refused.
    met = account.plan.next()
    if met is None:
        status = _status(account, sent, text)
        return _SENT if status is PENDING else _Verdict(200, False, status, None, plain)
    fault = met.fault
    if fault.status is not None:
        return _Verdict(fault.http_status, fault.accepted, fault.status(met.arg), fault.name, fault.play, met.arg)
    if not fault.accepted:
        return _Verdict(fault.http_status, False, None, fault.name, fault.play, met.arg)
    status = _status(account, sent, text)
    return _Verdict(fault.http_status, status is PENDING, status, fault.name, fault.play, met.arg)


def _status(account: Account, sent: Invite, text: str) -> Status:
    to = sent.to
    if not (5 <= len(to) <= 15 and to.isascii() and to.isdecimal()):
        return REFUSALS[52]
    # 25 segments hold 825 emojis, of which none take more room; most texts are far from it.
    if len(text) > 825 and is_too_long(text):
        return REFUSALS[25]
    if account.flood_filter is not None and account.flood_filter.refuses(to, sent.message):
        return REFUSALS[20]
    return PENDING


def _new_message_id() -> str:
    """Return an id of the form seen in the vendor's example."""
    digits = secrets.token_hex(18)
    return f"{digits[:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _refused(
    status: int, *, fault: str | None = None, validation: Problems | None = None, headers: dict[str, str] | None = None
) -> _Verdict:
    play = answering(lambda body, arg: replies.old_error(status, validation=validation, headers=headers))
    return _Verdict(status, False, None, fault, play)
