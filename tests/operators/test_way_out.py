"""Proxies that fail and certificates that cannot be used, through the operators: what never left is not in doubt."""

from __future__ import annotations

import json
import socket
import threading
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.api.errors import AccountError, InviteNotSentError
from airflow_provider_omnichat.campaign.results.files import read_results
from airflow_provider_omnichat.operators.omnichat import SendInviteBatchOperator, SendInviteOperator
from tests.support.airflow_harness import run_task
from tests.support.example_invite import MESSAGE
from tests.support.patience import PATIENCE_SECONDS
from tests.support.proxy_server import OPEN, ProxyServer
from tests.support.wire_server import answer, then_close, then_reset

FAILING = [
    *(then_close(), then_reset(), then_close(b"SSH-2.0\r\n"), then_close(b"HTTP/1.1 2"), then_close(OPEN)),
    *(answer(502, b""), answer(503, b""), answer(407, b""), b"rubbish\r\n\r\n"),
]


@pytest.fixture
def proxy(monkeypatch):
    with ProxyServer() as made:
        monkeypatch.setenv("HTTPS_PROXY", made.url)
        yield made


@pytest.fixture
def server(wire, hook_for, self_signed, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(self_signed[1]))
    made = wire(tls=self_signed[0])
    hook_for(made)
    return made


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "ledger.sqlite"
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    return path


def number(index: int) -> str:
    return f"4179{2_000_000 + index}"


def batch(count: int, **given: Any) -> SendInviteBatchOperator:
    people = [{"to": f"+{number(index)}", "id": f"c{index}"} for index in range(count)]
    return SendInviteBatchOperator(
        task_id="invite", invites=people, message=MESSAGE, key_column="id", ledger_conn_id="ledger", **given
    )


def single(**given: Any) -> SendInviteOperator:
    return SendInviteOperator(
        task_id="invite", to=f"+{number(0)}", message=MESSAGE, ledger_conn_id="ledger", retry_budget=0, **given
    )


def outcomes(folder: Path) -> dict[str, str]:
    (home,) = {file.parent for file in folder.rglob("*.jsonl")}
    return {row.to: str(row.outcome) for row in read_results(home)}


def claims(ledger: Path) -> list[Any]:
    import sqlite3

    if not ledger.exists():
        return []
    with closing(sqlite3.connect(ledger)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return [row for name in tables for row in connection.execute(f"SELECT * FROM {name}")]


def sent_to(server: Any) -> Counter[str]:
    return Counter(json.loads(seen.body)["to"] for seen in server.invites)


def test_a_proxy_that_restarts_in_a_batch_of_200_leaves_only_those_in_doubt_who_were_under_way(
    server, proxy, ledger, tmp_path
):
    """The server's log is the judge: who is not in it was in a tunnel as that was cut, and is in doubt."""

    def restart(sock: socket.socket) -> None:
        proxy.stop()
        threading.Timer(0.5, proxy.start, FAILING).start()  # until then, the port is closed
        sock.sendall(answer())

    server.script = [*[None] * 60, restart]
    given = {"concurrency": 8, "rate_limit": 400, "retry_budget": PATIENCE_SECONDS}
    run = run_task(batch(200, results_path=str(tmp_path / "results"), **given))
    found, seen = outcomes(tmp_path / "results"), sent_to(server)
    assert len(found) == 200
    assert set(found.values()) <= {"accepted", "unknown"}, Counter(found.values())
    assert all(count == 1 for count in seen.values())
    in_doubt = [to for to, outcome in found.items() if outcome == "unknown"]
    assert set(found) - set(seen) <= set(in_doubt)
    assert len(in_doubt) <= 8  # requests under way when the tunnels were cut
    assert len(proxy.asked) > len(FAILING)
    assert run.succeeded is (not in_doubt)


@pytest.mark.parametrize("play", FAILING)
def test_a_batch_behind_a_proxy_that_stays_broken_ends_with_all_as_not_sent_and_a_retry_sends_each_once(
    server, proxy, ledger, tmp_path, play
):
    proxy.script = [play] * 1000
    run = run_task(batch(20, concurrency=4, retry_budget=0.5, results_path=str(tmp_path / "results")))
    assert not run.succeeded
    assert set(outcomes(tmp_path / "results").values()) == {"not_sent"}
    assert server.seen == []
    proxy.script = []
    run = run_task(batch(20, concurrency=4, retry_budget=5), try_number=2)
    assert run.succeeded, run.error
    assert sent_to(server) == {number(index): 1 for index in range(20)}


@pytest.mark.parametrize("play", FAILING)
def test_a_single_invite_behind_a_broken_proxy_is_not_sent_and_the_retry_sends_it_once(server, proxy, ledger, play):
    proxy.script = [play]
    run = run_task(single())
    assert isinstance(run.error, InviteNotSentError)
    assert server.seen == []
    assert run_task(single(), try_number=2).succeeded
    assert sent_to(server) == {number(0): 1}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HTTPS_PROXY", "socks5://user:proxy-secret@127.0.0.1:1080"),
        ("all_proxy", "http://user:proxy-secret@"),
        ("SSL_CERT_FILE", "/no/such/bundle.pem"),
        ("SSL_CERT_DIR", "/no/such/directory"),
    ],
)
@pytest.mark.parametrize("task", [single, lambda: batch(20)], ids=["single", "batch"])
def test_what_the_environment_gives_and_cannot_be_used_ends_the_task_with_nothing_claimed(
    server, ledger, monkeypatch, task, variable, value
):
    with monkeypatch.context() as environment:
        if variable == "SSL_CERT_DIR":
            environment.delenv("SSL_CERT_FILE")
        environment.setenv(variable, value)
        run = run_task(task())
        assert isinstance(run.error, AccountError), run.error
        assert variable in str(run.error)
        assert "proxy-secret" not in str(run.error)
    assert claims(ledger) == []
    assert server.connections == 0
    assert run_task(task(), try_number=2).succeeded
    assert all(count == 1 for count in sent_to(server).values())
