"""The invite endpoint. It is the server of a benchmark: what it does for each request is kept short."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

from airflow_provider_omnichat.sandbox.account import ACCOUNT
from airflow_provider_omnichat.sandbox.invite import new_message_id, put_link_in, read_invite
from airflow_provider_omnichat.sandbox.outbox import Receipt
from airflow_provider_omnichat.sandbox.segments import count_segments
from airflow_provider_omnichat.sandbox.verdict import judge

if TYPE_CHECKING:
    from aiohttp import web


async def send_invite(request: web.Request) -> web.StreamResponse:
    """Take one invite: judge it, record it, and only then answer, late or wrongly where that is asked for."""
    account = request.app[ACCOUNT]
    account.outbox.requests_seen += 1
    raw = await request.read()
    path = request.match_info
    key, integration_type = path["key"], path["type"]
    sent = read_invite(raw)
    text = put_link_in(sent, integration_type)
    verdict = judge(account, request.headers.get("Authorization"), key, integration_type, sent, text)
    segments = count_segments(text)
    message_id = new_message_id()
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
        answer = {
            "to": sent.to,
            "messageCount": segments,
            "messageId": message_id,
            "status": verdict.status.as_wire(),
        }
        body = json.dumps(answer).encode()
    wait = account.latency()
    if wait:
        await asyncio.sleep(wait)
    return await verdict.play(request, body, verdict.arg)
