"""A sandbox of its own for each test, and a plain client that neither retries nor follows redirects."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import requests

from airflow_provider_omnichat.sandbox import Sandbox
from tests.support.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

INVITE = {
    "to": "41793026727",
    "linkPlaceholder": "<link>",
    "message": "Hello, if you'd like to hear more about Foo, follow us at <link>",
}

Post = Callable[..., requests.Response]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(seed=1) as running:
        yield running


@pytest.fixture
def post() -> Post:
    def send(sandbox: Sandbox, *, url: str | None = None, changed: Any = None, **options: Any) -> requests.Response:
        if "data" not in options:
            options.setdefault("json", INVITE | (changed or {}))
        options.setdefault("auth", sandbox.auth)
        options.setdefault("timeout", PATIENCE_SECONDS)
        return requests.post(url or sandbox.invite_url(), allow_redirects=False, **options)

    return send


@pytest.fixture
def post_sms(post: Post) -> Post:
    def send(
        sandbox: Sandbox, *, to: str = INVITE["to"], text: str = "Follow us at https://t.me/acme", **given: Any
    ) -> requests.Response:
        message_id, of_all = given.pop("message_id", None), given.pop("of_all", {})
        message: dict[str, Any] = {name: given.pop(name) for name in ("sender", "options") if name in given}
        destination = {"to": to} if message_id is None else {"to": to, "messageId": message_id}
        message |= {"destinations": [destination], "content": {"text": text}}
        if "data" not in given:
            given.setdefault("json", {"messages": [message], **of_all})
        return post(sandbox, url=f"{sandbox.url}/sms/3/messages", **given)

    return send
