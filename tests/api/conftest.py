"""Both clients, a proxy, and a certificate that both trust."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.support.both_clients import CLIENTS
from tests.support.proxy_server import ProxyServer


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def proxy_of() -> Iterator[Callable[..., ProxyServer]]:
    with ExitStack() as stack:
        yield lambda *script, tls=None: stack.enter_context(ProxyServer(*script, tls=tls))


@pytest.fixture
def trusted(self_signed, monkeypatch):
    """A TLS server context that both clients trust."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(self_signed[1]))
    return self_signed[0]
