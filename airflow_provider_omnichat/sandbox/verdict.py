"""What becomes of an invite request: the API's own rules first, then the fault it meets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_omnichat.sandbox import plays, replies
from airflow_provider_omnichat.sandbox.segments import is_too_long
from airflow_provider_omnichat.sandbox.statuses import PENDING, REFUSALS, Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from airflow_provider_omnichat.sandbox.account import Account
    from airflow_provider_omnichat.sandbox.invite import Invite
    from airflow_provider_omnichat.sandbox.plays import Play


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one invite request ends; the fields are those of `Receipt`, and how the answer is played out."""

    http_status: int | None
    accepted: bool
    status: Status | None
    fault: str | None
    play: Play
    arg: str = ""


_SENT = Verdict(200, True, PENDING, None, plays.plain)


def judge(
    account: Account, authorization: str | None, key: str, integration_type: str, sent: Invite, text: str
) -> Verdict:
    """Decide an invite request.

    A fault is drawn only for a request that is in order: a script then names the invites it is meant for, and an
    accepting fault always means an accepted invite, unless the number itself is refused.

    :param text: the message with the link put in: that is what has a length
    """
    if not account.gate.admits(authorization):
        return _refused(401)
    if not account.has_application(key) or integration_type not in account.settings.integration_types:
        return _refused(404)
    if account.bucket is not None and not account.bucket.takes():
        headers = {"Retry-After": "1"} if account.settings.rate_limit_retry_after else None
        return _refused(429, fault="rate-limit", headers=headers)
    if sent.problems or not sent.readable:
        return _refused(400, validation=sent.problems)
    met = account.plan.next()
    if met is None:
        status = _status(account, sent, text)
        return _SENT if status is PENDING else Verdict(200, False, status, None, plays.plain)
    fault = met.fault
    if fault.status is not None:
        return Verdict(fault.http_status, fault.accepted, fault.status(met.arg), fault.name, fault.play, met.arg)
    if not fault.accepted:
        return Verdict(fault.http_status, False, None, fault.name, fault.play, met.arg)
    status = _status(account, sent, text)
    return Verdict(fault.http_status, status is PENDING, status, fault.name, fault.play, met.arg)


def _status(account: Account, sent: Invite, text: str) -> Status:
    to = sent.to
    if not (5 <= len(to) <= 15 and to.isascii() and to.isdecimal()):
        return REFUSALS[52]
    # 25 parts hold 825 emojis, of which none take more room; most texts are far from it.
    if len(text) > 825 and is_too_long(text):
        return REFUSALS[25]
    if account.flood_filter is not None and account.flood_filter.refuses(to, sent.message):
        return REFUSALS[20]
    return PENDING


def _refused(
    status: int,
    *,
    fault: str | None = None,
    validation: Mapping[str, list[str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Verdict:
    async def play(request: web.Request, body: bytes, arg: str) -> web.StreamResponse:
        return replies.old_error(status, validation=validation, headers=headers)

    return Verdict(status, False, None, fault, play)
