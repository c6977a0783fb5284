"""The outbox as a page for people: numbers masked, everything else escaped."""

from __future__ import annotations

import json
import re
import secrets
import shlex
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from html import escape
from itertools import islice
from pathlib import Path
from string import Template
from urllib.parse import urlencode

from aiohttp import web

from airflow_provider_omnichat.sandbox.account import Account
from airflow_provider_omnichat.sandbox.outbox import Receipt, Totals, mask
from airflow_provider_omnichat.sandbox.statuses import REFUSALS

MOST_ROWS = 100

_LINK = re.compile(r"https://[\w./-]+\?(?:ref|start)=[0-9a-f]{8}")
_HEAD = "<tr><th>Time</th><th>Number</th><th>Message</th><th>Vendor holds</th><th>Client got</th></tr>"


def outbox_page(account: Account, base_url: str, asked: Mapping[str, str]) -> web.Response:
    """Return the page; *asked*: ``live`` for the part that changes, ``q`` in its rows, ``before`` a sequence number."""
    search, before = asked.get("q", "").strip(), asked.get("before", "")
    live = _live(account, base_url, search, int(before[:18]) if before.isdecimal() else None)
    if "live" in asked:
        return web.Response(text=live, content_type="text/html", headers={"Cache-Control": "no-store"})
    nonce = secrets.token_urlsafe(12)
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    return web.Response(
        text=_template().substitute(nonce=nonce, live=live, search=escape(search)),
        content_type="text/html",
        headers={"Content-Security-Policy": policy, "Cache-Control": "no-store"},
    )


@cache
def _template() -> Template:
    return Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))


def _live(account: Account, base_url: str, search: str, before: int | None) -> str:
    totals = account.outbox.totals()
    if totals.requests == 0:
        return _totals(totals) + _faults(account) + _first_invite(account, base_url)
    found = (
        each
        for each in account.outbox.latest()
        if (before is None or each.sequence < before) and (not search or _has(each, search))
    )
    receipts = list(islice(found, MOST_ROWS + 1))
    shown = receipts[:MOST_ROWS]
    table = "".join(_row(account, each) for each in shown) or '<tr><td colspan="5">No row matches.</td></tr>'
    older = {"q": search, "before": shown[-1].sequence} if len(receipts) > MOST_ROWS else {}
    links = _link("Newest", {"q": search}) if before is not None else ""
    links += _link("Older", older) if older else ""
    return (
        _totals(totals)
        + _faults(account)
        + f"<table><thead>{_HEAD}</thead><tbody>{table}</tbody></table>"
        + f"<footer>{links}{len(shown):,} of {totals.requests:,} requests. "
        + 'All that is kept, with whole numbers: <a href="/__outbox"><code>/__outbox</code></a></footer>'
    )


def _has(receipt: Receipt, search: str) -> bool:
    status = receipt.status.name if receipt.status else ""
    told = (receipt.to, receipt.text, receipt.message_id, status, receipt.fault, receipt.http_status)
    return search.removeprefix("+").lower() in "\n".join(map(str, filter(None, told))).lower()


def _link(name: str, query: Mapping[str, object]) -> str:
    return f'<a href="/?{escape(urlencode({key: value for key, value in query.items() if value}))}">{name}</a> '


def _totals(totals: Totals) -> str:
    twice = totals.same_message_twice
    cells = (
        ("Requests", totals.requests, ""),
        ("Accepted", totals.accepted, "good" if totals.accepted else ""),
        ("Not accepted", totals.requests - totals.accepted, ""),
        ("Got the same message twice", twice, "bad" if twice else ""),
        ("Got several messages", totals.several_messages, ""),
    )
    tiles = (f'<div><dt>{name}</dt><dd class="{kind}">{count:,}</dd></div>' for name, count, kind in cells)
    return f'<dl class="totals">{"".join(tiles)}</dl>'


def _faults(account: Account) -> str:
    settings = account.settings
    named = [
        (each.fault.name, each.percentage + (f" · {each.arg}" if each.arg else "")) for each in account.plan.active
    ]
    if settings.rate_limit is not None:
        named.append(("rate limit", f"{settings.rate_limit:g}/s"))
    if settings.flood_filter:
        named.append(("flood filter", "on"))
    if settings.repeated_ids != "ignored":
        named.append(("repeated ids", f"{settings.repeated_ids}, {account.outbox.totals().suppressed} suppressed"))
    named += [("next", spec) for spec in account.plan.upcoming(5)]
    if not named:
        return '<p class="faults soft">No faults are set: every valid invite is accepted.</p>'
    chips = (f'<span class="chip"><b>{escape(name)}</b> {escape(value)}</span>' for name, value in named)
    seed = f'<span class="soft">seed {account.plan.seed}</span>' if account.plan.active else ""
    return f'<p class="faults"><span class="soft">Faults</span>{"".join(chips)}{seed}</p>'


def _row(account: Account, receipt: Receipt) -> str:
    at = datetime.fromtimestamp(receipt.time, UTC)
    segments = f"{receipt.segments} SMS" if receipt.text else ""
    details = " · ".join(filter(None, (segments, receipt.integration_type, receipt.sender, receipt.message_id)))
    return (
        f'<tr id="r{receipt.sequence}" class="{"taken" if receipt.accepted else "refused"}">'
        f'<td class="time"><time datetime="{at.isoformat()}">{at.astimezone():%H:%M:%S}</time></td>'
        f'<td class="number mono">{escape(mask(receipt.to))}</td>'
        f'<td class="text"><p>{_text(receipt.text)}</p><small>{escape(details)}</small></td>'
        f'<td class="vendor">{_vendor(account, receipt)}</td><td class="client">{_client(receipt)}</td></tr>'
    )


def _text(text: str) -> str:
    if not text:
        return '<span class="soft">(unreadable)</span>'
    parts, end = [], 0
    for found in _LINK.finditer(text):
        parts += [escape(text[end : found.start()]), f'<span class="link">{escape(found[0])}</span>']
        end = found.end()
    return "".join(parts) + escape(text[end:])


def _vendor(account: Account, receipt: Receipt) -> str:
    """Return the status that the vendor holds by now, as its logs have it."""
    standing = account.standing(receipt, time.time())
    status = standing[0] if standing else receipt.status
    if status is None:
        return '<span class="label plain">nothing</span>'
    kind = "good" if status.group_id in {1, 3} else "bad" if status.id in REFUSALS else "none"
    label = f'<span class="label {kind}" title="{escape(status.description)}">{escape(status.name)}</span>'
    notes = ["repeat, suppressed"] if receipt.suppressed else []
    notes += ["not in the logs"] if (receipt.accepted or receipt.suppressed) and not standing else []
    return label + "".join(f'<span class="fault">{note}</span>' for note in notes)


def _client(receipt: Receipt) -> str:
    code = receipt.http_status
    kind = "none" if code is None else "plain" if code == 200 else "warn"
    label = f'<span class="label {kind}">{"no answer" if code is None else f"HTTP {code}"}</span>'
    return label + (f'<span class="fault mono">{escape(receipt.fault)}</span>' if receipt.fault else "")


def _first_invite(account: Account, base_url: str) -> str:
    settings = account.settings
    # Where other machines may read this page, they must not learn the password from it.
    password = "PASSWORD" if settings.allow_remote else settings.credentials.password
    url = f"{base_url}/omnichat/1/applications/{settings.application_key}"
    url += f"/integrations/{settings.integration_types[0]}/invite"
    body = json.dumps({"to": "41793026727", "linkPlaceholder": "<link>", "message": "Follow us at <link>"})
    command = (
        f"curl -u {shlex.quote(f'{settings.credentials.user}:{password}')} \\\n"
        f"  -H 'Content-Type: application/json' \\\n  -d {shlex.quote(body)} \\\n  {shlex.quote(url)}"
    )
    return (
        '<section class="empty"><h2>Nothing has arrived yet</h2>'
        '<p class="soft">Send the first invite; it shows up here within two seconds.</p>'
        f"<pre>{escape(command)}</pre>"
        '<p class="soft">For Airflow, paste the connection that the sandbox printed when it started.</p></section>'
    )
