"""The SMS logs: what became of the invites that were taken, by message id, number and time of sending."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_provider_omnichat.sandbox.account import ACCOUNT
from airflow_provider_omnichat.sandbox.outbox import Receipt
from airflow_provider_omnichat.sandbox.replies import Problems, as_json, error, whole_number
from airflow_provider_omnichat.sandbox.statuses import Status

if TYPE_CHECKING:
    from aiohttp import web

MOST_ROWS = 1000
DEFAULT_ROWS = 50
LONGEST_FILTER = 2048
REACH_SECONDS = 48 * 3600.0
PRICE_PER_MESSAGE = 0.0405

_NO_ERROR = {
    "groupId": 0,
    "groupName": "OK",
    "id": 0,
    "name": "NO_ERROR",
    "description": "No Error",
    "permanent": False,
}


async def read_logs(request: web.Request) -> web.StreamResponse:
    """Answer with the rows that pass the filters, newest first."""
    account = request.app[ACCOUNT]
    settings, query = account.settings, request.query
    if not account.admits(request.headers.get("Authorization")):
        return error(request, 401)
    if not settings.logs_scope:
        return error(request, 403)
    if not account.logs_window.takes():
        return error(request, 429, headers={"Retry-After": "1"} if settings.rate_limit_retry_after else None)
    problems: Problems = {}
    limit = whole_number(query, "limit", problems, default=DEFAULT_ROWS, least=1, most=MOST_ROWS)
    offset = whole_number(query, "cursor", problems)
    now = time.time()
    since = max(_moment(query.get("sentSince"), "sentSince", problems, 0.0), now - REACH_SECONDS)
    until = _moment(query.get("sentUntil"), "sentUntil", problems, now)
    ids = query.get("messageId")
    if ids is not None and len(ids) > LONGEST_FILTER:
        problems["messageId"] = [f"must be at most {LONGEST_FILTER} characters"]
    if problems:
        return error(request, 400, validation=problems)
    wanted = query.get("destination")
    rows = []
    for receipt in account.outbox.latest() if ids is None else account.outbox.find(dict.fromkeys(ids.split(","))):
        if since <= receipt.time <= until and wanted in {None, receipt.to}:
            standing = account.standing(receipt, now)
            if standing is not None:
                rows.append(_row(receipt, *standing))
    answer: dict[str, object] = {"results": rows[offset : offset + limit]}
    if query.get("useCursor") == "true":
        following = offset + limit
        answer["cursor"] = {"limit": limit, "nextCursor": str(following) if following < len(rows) else None}
    return as_json(answer)


def _row(receipt: Receipt, status: Status, done: float | None) -> dict[str, object]:
    return {
        "sender": receipt.sender or "SANDBOX",
        "destination": receipt.to,
        "bulkId": None,
        "messageId": receipt.message_id,
        "sentAt": _written(receipt.time),
        "doneAt": None if done is None else _written(done),
        "messageCount": receipt.segments,
        "price": {"pricePerMessage": PRICE_PER_MESSAGE, "currency": "EUR"},
        "status": status.as_wire(),
        "error": _NO_ERROR,
        "content": {},
    }


def _written(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "+0000")


def _moment(text: str | None, name: str, problems: Problems, default: float) -> float:
    if text is None:
        return default
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()
    except ValueError:
        problems[name] = ["must be a time as 2026-01-31T23:59:59.000+0000"]
        return default
