"""The outbox as a page for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from airflow_provider_omnichat.sandbox.account import Account


def outbox_page(account: Account) -> web.Response:
    """Return the page."""
    return web.Response(text="soon", content_type="text/html")
