"""What the tests share: a new Airflow home, the sandbox, servers that play bytes, and connections to them."""

from __future__ import annotations

import json
import os
import ssl
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

# Before anything imports Airflow.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp())
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
os.environ.setdefault("AIRFLOW__CORE__UNIT_TEST_MODE", "True")
# Airflow 2 asks for the executor before it runs a sensor, and refuses the one of its tests with SQLite.
os.environ.setdefault("_AIRFLOW__SKIP_DATABASE_EXECUTOR_COMPATIBILITY_CHECK", "1")
for _name in list(os.environ):
    if _name.upper().endswith(("_PROXY", "_CA_BUNDLE")) or _name in {"SSL_CERT_FILE", "SSL_CERT_DIR", "NETRC"}:
        del os.environ[_name]

from hypothesis import HealthCheck, settings  # noqa: E402

from airflow_provider_omnichat.sandbox.server import Sandbox  # noqa: E402
from tests.support.clocks import SetClock  # noqa: E402
from tests.support.patience import PATIENCE_SECONDS  # noqa: E402
from tests.support.sql_connections import database, mariadb_server, postgresql_server  # noqa: E402, F401 - fixtures
from tests.support.wire_server import Play, WireServer  # noqa: E402

pytest_plugins = ["tests.support.skip_table"]
# How long an example takes is the machine's.
settings.register_profile("omnichat", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("omnichat")


# One driver for each server is enough for `make test`; these are left to `make test-all`.
OTHER_DRIVERS = {"psycopg", "MySQLdb"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest: the tests of a real Airflow, of which one process of pytest starts one for all."""
    for item in items:
        values = (
            item.callspec.params.values() if isinstance(item, pytest.Function) and hasattr(item, "callspec") else ()
        )
        if OTHER_DRIVERS & {value for value in values if isinstance(value, str)}:
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: item.get_closest_marker("airflow") is None)


@pytest.fixture(autouse=True)
def new_secrets_masker() -> None:
    """
    Let Airflow forget the secrets of earlier tests, as each task begins with none.

    It compiles one pattern of all that it has ever seen, anew for each new one: after a thousand sandboxes, each with a
    password of its own, that is most of the time that a test takes.
    """
    for module in _secrets_maskers(len(sys.modules)):
        masker = module._secrets_masker()
        masker.patterns, masker.replacer = set(), None


@lru_cache(maxsize=1)
def _secrets_maskers(modules_loaded: int) -> list[Any]:
    """Airflow's modules of that name, which are several; looked for again when others have been loaded."""
    names = [name for name in sys.modules if name.startswith("airflow.") and name.endswith("secrets_masker")]
    return [sys.modules[name] for name in names if hasattr(sys.modules[name], "_secrets_masker")]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(seed=1) as server:
        yield server


@pytest.fixture
def sandbox_clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """The clock by which sandboxes take and deliver invites, refuse too many of them, and end tokens."""
    from airflow_provider_omnichat.sandbox import account, limits, logs, send

    clock = SetClock()
    for module in (account, limits, logs, send):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def wire() -> Iterator[Callable[..., WireServer]]:
    """Start a server that plays the given answers."""
    with ExitStack() as stack:

        def start(*script: Play, tls: ssl.SSLContext | None = None) -> WireServer:
            return stack.enter_context(WireServer(*script, tls=tls))

        yield start


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Set the connection ``omnichat_default`` as users do: an environment variable with JSON."""

    def set_connection(host: str, **fields: Any) -> dict[str, Any]:
        extra = {"application_key": "KEY", "integration_type": "FACEBOOK", "timeout": PATIENCE_SECONDS}
        extra |= fields.pop("extra", {})
        made = {
            "conn_type": "omnichat",
            "host": host,
            "login": "user",
            "password": "pass-word-1",
            **fields,
            "extra": extra,
        }
        monkeypatch.setenv("AIRFLOW_CONN_OMNICHAT_DEFAULT", json.dumps(made))
        return made

    return set_connection


@pytest.fixture
def hook_for(connection: Callable[..., dict[str, Any]]) -> Iterator[Callable[..., Any]]:
    """Make a hook for a server (or a host); tries once unless a budget is given."""
    from airflow_provider_omnichat.hooks.omnichat import OmnichatHook

    hooks: list[OmnichatHook] = []

    def make(server: Any, *, retry_budget: float = 0.0, **fields: Any) -> OmnichatHook:
        if isinstance(server, Sandbox):
            given = json.loads(server.airflow_connection)
            extra = {**given["extra"], **fields.pop("extra", {})}
            host = f"{given['host']}:{given['port']}"
            fields = {"login": given["login"], "password": given["password"], **fields, "extra": extra}
        else:
            host = server if isinstance(server, str) else server.url
        connection(host, **fields)
        hook = OmnichatHook(retry_budget=retry_budget)
        hooks.append(hook)
        return hook

    yield make
    for hook in hooks:
        hook.close()


@pytest.fixture
def at_sandbox(sandbox: Sandbox, hook_for: Callable[..., Any]) -> Sandbox:
    """The sandbox, with the connection to it set."""
    hook_for(sandbox)
    return sandbox


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A ledger in a database of this test's own, as arguments of an operator."""
    path = str(tmp_path / "ledger.sqlite")
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({"conn_type": "sqlite", "host": path}))
    return {"ledger_conn_id": "ledger"}


@pytest.fixture
def fast_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeats after milliseconds instead of seconds; what is asked for by the server is kept."""
    from airflow_provider_omnichat.api import retry

    class Fast(retry.Backoff):
        def __init__(self, budget: float = 60.0, first: float = 0.02, longest: float = 0.1) -> None:
            super().__init__(budget, first, longest)

    monkeypatch.setattr(retry, "Backoff", Fast)


@pytest.fixture(scope="session")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """A TLS server context for 127.0.0.1 that nobody trusts, and its certificate for those who want to."""
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    chain, private = folder / "cert.pem", folder / "key.pem"
    chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, private)
    return context, chain
