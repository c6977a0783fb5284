"""Through a proxy of the environment, with both clients: what fails before the tunnel is open was not sent."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import pytest

from airflow_provider_omnichat.api.models import InviteAnswer
from tests.support.answers import time_out_for
from tests.support.both_clients import all_that_shows, not_sent, send, unknown
from tests.support.patience import PATIENCE_SECONDS
from tests.support.proxy_server import ENCODED, OPEN, SECRET, TARGET, with_secret
from tests.support.wire_server import answer, dripping, refused_port, then_close, then_reset

# from the connection to the open tunnel: nothing was sent


BEFORE_THE_TUNNEL: dict[str, Any] = {
    "closes at once": then_close(),
    "resets": then_reset(),
    "rubbish": then_close(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "rubbish, and stays": b"\x00\x01\x02\r\n\r\n",
    "half a status line": then_close(b"HTTP/1.1 2"),
    "half a status line, and resets": then_reset(b"HTTP/1.1 200 Conn"),
    "half a head": then_close(b"HTTP/1.1 200 OK\r\nVia: x"),
    "a status that is none": then_close(b"HTTP/1.1 abc OK\r\n\r\n"),
    "endless head": then_close(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000),
    "200 and rubbish": then_close(OPEN + b"<html>hello</html>"),
    "200 and closed in the handshake": then_close(OPEN),
    "200 and reset in the handshake": then_reset(OPEN),
    "200 and a web page": then_close(answer(200, b"<html>", "Content-Type: text/html")),
    "200 and silence": OPEN + b"\x16",
    "never answers": b"",
    "drips": dripping(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", 0.05, 2_000_000),
    "drips a status line": dripping(b"HTTP/1.1 2", b"0", 0.05, 2_000_000),
    **{
        f"HTTP {status}": answer(status, b"<html>no</html>")
        for status in (301, 307, 400, 401, 403, 404, 407, 429, 500, 502, 503, 504)
    },
    "HTTP 503 with Retry-After": answer(503, b"", "Retry-After: 7"),
}


WAITS_IN_VAIN = {"200 and silence", "never answers", "drips", "drips a status line"}


@pytest.mark.parametrize("name", BEFORE_THE_TUNNEL)
def test_what_fails_before_the_tunnel_is_open_is_not_sent(client, wire, hook_for, proxy_of, trusted, monkeypatch, name):
    server = wire(tls=trusted)
    proxy = proxy_of(BEFORE_THE_TUNNEL[name])
    monkeypatch.setenv("https_proxy", with_secret(proxy))
    error = not_sent(hook_for(server, extra={"timeout": 1 if name in WAITS_IN_VAIN else PATIENCE_SECONDS}), client)
    assert "no connection through the proxy of https_proxy: " in str(error)
    assert error.http_status is None  # not the vendor's
    shown = all_that_shows(error)
    assert SECRET not in shown
    assert ENCODED not in shown
    assert (len(proxy.asked), server.seen) == (1, [])


@pytest.mark.parametrize("status", [400, 403, 407, 500, 502, 503])
def test_the_status_of_the_proxy_is_told_and_with_407_the_cure(client, hook_for, proxy_of, monkeypatch, status):
    monkeypatch.setenv("https_proxy", proxy_of(answer(status, b"")).url)
    text = str(not_sent(hook_for(TARGET), client))
    assert f"the proxy answered HTTP {status}" in text
    assert ("http://user:password@proxy:port" in text) is (status == 407)


@pytest.mark.parametrize(
    ("play", "said"),
    [
        (then_close(), "it was closed before it was ready"),
        (then_reset(), "Connection reset by peer"),
        (then_close(b"SSH-2.0-OpenSSH_9.6\r\n"), "the proxy did not answer with HTTP"),
        (then_close(b"HTTP/1.1 abc OK\r\n\r\n"), "the proxy did not answer with HTTP"),
        (b"", "the time-out passed"),
    ],
)
def test_what_the_proxy_did_is_told(client, hook_for, proxy_of, monkeypatch, play, said):
    monkeypatch.setenv("https_proxy", proxy_of(play).url)
    text = str(not_sent(hook_for(TARGET, extra={"timeout": time_out_for(play)}), client))
    assert f"The invite was not sent: no connection through the proxy of https_proxy: {said}" in text


def test_a_proxy_whose_port_is_closed_is_not_sent(client, hook_for, monkeypatch):
    for variable in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, f"http://u:{SECRET}@127.0.0.1:{refused_port()}")
    for host in (TARGET, "http://vendor.test"):
        error = not_sent(hook_for(host, extra={"allow_http": True}), client)
        variable = f"{host.partition(':')[0]}_proxy"
        assert f"no connection through the proxy of {variable}: Connection refused" in str(error)
        assert SECRET not in all_that_shows(error)


def test_a_proxy_whose_name_cannot_be_resolved_is_not_sent(client, hook_for, monkeypatch):
    monkeypatch.setenv("https_proxy", f"http://u:{SECRET}@no-such-proxy.invalid:3128")
    error = not_sent(hook_for(TARGET), client)
    assert "through the proxy of https_proxy: the proxy's host name cannot be resolved" in str(error)
    assert SECRET not in all_that_shows(error)


def test_a_certificate_that_nobody_trusts_behind_a_tunnel_is_not_sent(
    client, wire, hook_for, proxy_of, self_signed, monkeypatch
):
    server, proxy = wire(tls=self_signed[0]), proxy_of()
    monkeypatch.setenv("https_proxy", proxy.url)
    assert "certificate verify failed" in str(not_sent(hook_for(server), client))
    assert (proxy.tunnels, server.seen) == (1, [])


def test_a_certificate_of_another_name_behind_a_tunnel_is_not_sent(
    client, wire, hook_for, proxy_of, trusted, monkeypatch
):
    server = wire(tls=trusted)
    monkeypatch.setenv("https_proxy", proxy_of().url)
    error = not_sent(hook_for(f"https://localhost:{server.port}"), client)
    assert "certificate verify failed" in str(error)
    assert server.seen == []


@pytest.mark.parametrize("speaks", ["no TLS", "TLS that nobody trusts", "TLS, and refuses"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_over_tls_whose_tls_fails_is_not_sent(
    client, hook_for, proxy_of, self_signed, monkeypatch, speaks, scheme
):
    contexts = {
        "no TLS": None,
        "TLS that nobody trusts": self_signed[0],
        "TLS, and refuses": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),  # it has no certificate
    }
    proxy = proxy_of(tls=contexts[speaks])
    monkeypatch.setenv(f"{scheme}_proxy", with_secret(proxy).replace("http:", "https:"))
    timeout = 1 if speaks == "no TLS" else PATIENCE_SECONDS
    hook = hook_for(f"{scheme}://vendor.test", extra={"allow_http": True, "timeout": timeout})
    error = not_sent(hook, client)
    assert f"no connection through the proxy of {scheme}_proxy: " in str(error)
    assert SECRET not in all_that_shows(error)
    assert (proxy.connections, proxy.asked) == (1, [])


# through the tunnel


@pytest.mark.parametrize("over_tls", [False, True])
def test_invites_share_a_tunnel_and_only_the_proxy_gets_its_credentials(
    client, wire, hook_for, proxy_of, trusted, monkeypatch, over_tls
):
    server, proxy = wire(tls=trusted), proxy_of(tls=trusted if over_tls else None)
    monkeypatch.setenv("https_proxy", with_secret(proxy))
    found = send(hook_for(server), client, times=3)
    assert [type(each) for each in found] == [InviteAnswer] * 3
    (asked,) = proxy.asked
    assert (asked.method, asked.target) == ("CONNECT", f"127.0.0.1:{server.port}")
    assert asked.headers["proxy-authorization"] == f"Basic {ENCODED}"
    assert "authorization" not in asked.headers
    assert [seen.headers["authorization"][:6] for seen in server.invites] == ["Basic "] * 3
    assert not any("proxy-authorization" in seen.headers for seen in server.seen)


@pytest.mark.parametrize("first", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 102 Wait\r\n\r\n"])
def test_an_interim_answer_of_the_proxy_is_waited_through(
    client, wire, hook_for, proxy_of, trusted, monkeypatch, first
):
    server, proxy = wire(tls=trusted), proxy_of()

    def wait_then_open(sock: socket.socket) -> None:
        sock.sendall(first)
        sock.sendall(OPEN)
        proxy._tunnel(sock, proxy.asked[-1].target)

    proxy.script.append(wait_then_open)
    monkeypatch.setenv("https_proxy", proxy.url)
    assert isinstance(send(hook_for(server), client)[0], InviteAnswer)


@pytest.mark.parametrize("broken", [then_close(), then_reset(), then_close(b"HTTP/1.1 2"), b""])
def test_what_breaks_in_an_open_tunnel_is_unknown_and_the_next_invite_has_a_new_one(
    client, wire, hook_for, proxy_of, trusted, monkeypatch, broken
):
    server, proxy = wire(answer(), broken, tls=trusted), proxy_of()
    monkeypatch.setenv("https_proxy", proxy.url)
    found = send(hook_for(server, extra={"timeout": time_out_for(broken)}), client, times=3)
    assert [type(each).__name__ for each in found] == ["InviteAnswer", "InviteUnknownError", "InviteAnswer"]
    assert (len(server.invites), proxy.tunnels) == (3, 2)


def test_after_a_tunnel_that_could_not_be_had_the_next_invite_asks_anew(
    client, wire, hook_for, proxy_of, trusted, monkeypatch
):
    server, proxy = wire(tls=trusted), proxy_of(answer(502, b""), then_close(), b"rubbish\r\n")
    monkeypatch.setenv("https_proxy", proxy.url)
    found = send(hook_for(server), client, times=5)
    assert [type(each).__name__ for each in found] == ["InviteNotSentError"] * 3 + ["InviteAnswer"] * 2
    assert (len(server.invites), len(proxy.asked)) == (2, 4)


def test_an_oauth2_token_that_the_proxy_keeps_away_is_not_sent(client, wire, hook_for, proxy_of, trusted, monkeypatch):
    server = wire(answer(200, {"access_token": "token-1", "expires_in": 3600}), tls=trusted)
    proxy = proxy_of(answer(407, b""), then_close(), b"rubbish\r\n")
    monkeypatch.setenv("https_proxy", with_secret(proxy))
    found = send(hook_for(server, extra={"auth_type": "oauth2"}), client, times=4)
    assert [type(each).__name__ for each in found] == ["InviteNotSentError"] * 3 + ["InviteAnswer"]
    assert "No access token: no connection through the proxy of https_proxy: " in str(found[0])
    assert not any(SECRET in all_that_shows(each) for each in found if isinstance(each, Exception))
    assert server.seen[0].path == "/auth/1/oauth2/token"
    assert len(server.invites) == 1


@pytest.mark.parametrize("play", [then_close(), answer(407, b""), b"rubbish\r\n"], ids=["closed", "407", "rubbish"])
def test_the_connection_test_says_that_the_proxy_stands_in_the_way(hook_for, proxy_of, monkeypatch, play):
    monkeypatch.setenv("https_proxy", with_secret(proxy_of(play)))
    worked, said = hook_for(TARGET).test_connection()
    assert not worked
    assert "no connection through the proxy of https_proxy: " in said
    assert SECRET not in said


def test_the_connection_test_names_the_variable_that_cannot_be_used(hook_for, monkeypatch):
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:1080")
    worked, said = hook_for(TARGET).test_connection()
    assert not worked
    assert "https_proxy" in said


# plain http: the proxy reads the request itself


@pytest.mark.parametrize("broken", [then_close(), then_reset(), then_reset(b"HTTP/1.1 2"), answer(502, b"")])
def test_a_proxy_that_breaks_with_a_plain_http_request_is_unknown(client, wire, hook_for, monkeypatch, broken):
    proxy = wire(broken)
    monkeypatch.setenv("http_proxy", proxy.url)
    unknown(hook_for("http://vendor.test", extra={"allow_http": True}), client)
    assert len(proxy.invites) == 1


@pytest.mark.parametrize("over_tls", [False, True])
def test_a_plain_http_request_is_sent_to_the_proxy_with_both_credentials(
    client, wire, hook_for, trusted, monkeypatch, over_tls
):
    proxy = wire(tls=trusted if over_tls else None)
    monkeypatch.setenv("http_proxy", proxy.url.replace("//", f"//proxyuser:{SECRET}@"))
    found = send(hook_for("http://vendor.test", extra={"allow_http": True}), client, times=2)
    assert [type(each) for each in found] == [InviteAnswer] * 2
    assert proxy.connections == 1
    for seen in proxy.invites:
        assert seen.path.startswith("http://vendor.test/omnichat/")
        assert seen.headers["proxy-authorization"] == f"Basic {ENCODED}"
        assert seen.headers["authorization"] == "Basic dXNlcjpwYXNzLXdvcmQtMQ=="
