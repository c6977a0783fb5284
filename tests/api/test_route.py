"""The way out: proxies and certificates of the environment, each with both clients, over real sockets."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.api.errors import AccountError
from airflow_provider_omnichat.api.models import InviteAnswer
from airflow_provider_omnichat.api.route import CA_VARIABLES, Route
from tests.support.both_clients import CLIENTS, all_that_shows, not_sent, refusal, send, unknown
from tests.support.proxy_server import OPEN, ProxyServer
from tests.support.wire_server import answer, dripping, then_close, then_reset

TARGET = "https://vendor.test"
SECRET = "proxy-secret"
ENCODED = base64.b64encode(f"proxyuser:{SECRET}".encode()).decode()


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


def with_secret(proxy: ProxyServer) -> str:
    return proxy.url.replace("//", f"//proxyuser:{SECRET}@")


def refused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


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
    "drips": dripping(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", 0.05, 2000),
    "drips a status line": dripping(b"HTTP/1.1 2", b"0", 0.05, 2000),
    **{
        f"HTTP {status}": answer(status, b"<html>no</html>")
        for status in (301, 307, 400, 401, 403, 404, 407, 429, 500, 502, 503, 504)
    },
    "HTTP 503 with Retry-After": answer(503, b"", "Retry-After: 7"),
}


@pytest.mark.parametrize("play", BEFORE_THE_TUNNEL.values(), ids=BEFORE_THE_TUNNEL)
def test_what_fails_before_the_tunnel_is_open_is_not_sent(client, wire, hook_for, proxy_of, trusted, monkeypatch, play):
    server = wire(tls=trusted)
    proxy = proxy_of(play)
    monkeypatch.setenv("https_proxy", with_secret(proxy))
    begin = time.monotonic()
    error = not_sent(hook_for(server, extra={"timeout": 0.5}), client)
    assert time.monotonic() - begin < 30
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
        (then_close(b"SSH-2.0-OpenSSH_9.6\r\n"), "the proxy answered with something that is no HTTP"),
        (then_close(b"HTTP/1.1 abc OK\r\n\r\n"), "the proxy answered with something that is no HTTP"),
        (b"", "the time-out passed"),
    ],
)
def test_what_the_proxy_did_is_told(client, hook_for, proxy_of, monkeypatch, play, said):
    monkeypatch.setenv("https_proxy", proxy_of(play).url)
    text = str(not_sent(hook_for(TARGET, extra={"timeout": 0.5}), client))
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
    hook = hook_for(f"{scheme}://vendor.test", extra={"allow_http": True, "timeout": 0.5})
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
    found = send(hook_for(server, extra={"timeout": 0.5}), client, times=3)
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
    assert "No OAuth2 token: no connection through the proxy of https_proxy: " in str(found[0])
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


# which proxy the environment gives


@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
def test_each_variable_gives_the_proxy(client, wire, hook_for, proxy_of, trusted, monkeypatch, variable):
    server, proxy = wire(tls=trusted), proxy_of()
    monkeypatch.setenv(variable, proxy.url)
    assert isinstance(send(hook_for(server), client)[0], InviteAnswer)
    assert len(proxy.asked) == 1


def test_the_one_of_the_scheme_goes_before_that_for_all_and_lower_letters_before_capitals(
    client, wire, hook_for, proxy_of, trusted, monkeypatch
):
    server, proxy = wire(tls=trusted), proxy_of()
    monkeypatch.setenv("https_proxy", proxy.url)
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1")
    monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1")
    assert isinstance(send(hook_for(server), client)[0], InviteAnswer)
    assert len(proxy.asked) == 1


def test_a_proxy_without_a_scheme_is_an_http_proxy(client, wire, hook_for, proxy_of, trusted, monkeypatch):
    server, proxy = wire(tls=trusted), proxy_of()
    monkeypatch.setenv("https_proxy", with_secret(proxy).removeprefix("http://") + "/")
    assert isinstance(send(hook_for(server), client)[0], InviteAnswer)
    assert proxy.asked[0].headers["proxy-authorization"] == f"Basic {ENCODED}"


UNUSABLE = [
    "socks4://127.0.0.1:1080",
    "socks4a://127.0.0.1:1080",
    "socks5://127.0.0.1:1080",
    "socks5h://127.0.0.1:1080",
    "SOCKS5://127.0.0.1:1080",
    f"socks5://u:{SECRET}@127.0.0.1:1080",
    f"foo://u:{SECRET}@127.0.0.1:1",
    f"ftp://u:{SECRET}@127.0.0.1:1",
    "http://",
    ":3128",
    "http://:3128",
    f"http://u:{SECRET}@",
    f"http://u:{SECRET}@127.0.0.1:port",
    f"http://u:{SECRET}@127.0.0.1:99999",
    f"http://u:{SECRET}@127.0.0.1:0",
    f"http://u:{SECRET}/@127.0.0.1:3128",
    f"http://u:{SECRET}#@127.0.0.1:3128",
    f"http://u:1?{SECRET}@127.0.0.1:3128",
    f"http://u:{SECRET}@a..b:3128",
    f"http://u:{SECRET}@{'a' * 70}.test:3128",
    f"http://u:{SECRET}@[::1:3128",
    f"http://u:{SECRET}@pro xy:3128",
    f"http://u:{SECRET}@pro\nxy:3128",
    f"http:/u:{SECRET}@127.0.0.1:3128",
    "http://proxy.test/proxy.pac",
    " ",
]


@pytest.mark.parametrize("value", UNUSABLE)
@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
def test_a_proxy_that_cannot_be_used_is_refused_by_the_name_of_its_variable(
    client, wire, hook_for, trusted, monkeypatch, variable, value
):
    server = wire(tls=trusted)
    monkeypatch.setenv(variable, value)
    error = refusal(hook_for(server), client, AccountError)
    assert str(error).startswith(f"The proxy of {variable} cannot be used: ")
    assert ("SOCKS" in str(error)) is value.lower().startswith("socks")
    assert SECRET not in all_that_shows(error)
    assert server.connections == 0


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY"])
def test_a_socks_proxy_for_plain_http_is_refused_too(client, hook_for, monkeypatch, variable):
    monkeypatch.setenv(variable, "socks5://127.0.0.1:1080")
    error = refusal(hook_for("http://vendor.test", extra={"allow_http": True}), client, AccountError)
    assert str(error).startswith(f"The proxy of {variable} cannot be used: it names a SOCKS proxy")


@pytest.mark.parametrize("value", ["socks5://127.0.0.1:1080", "http://"])
@pytest.mark.parametrize(
    ("unused", "no_proxy"),
    [
        ("https_proxy", ("no_proxy", "127.0.0.1")),
        ("ALL_PROXY", ("NO_PROXY", "127.0.0.0/8")),
        ("all_proxy", ("no_proxy", "other.test,127.0.0.1")),
        ("https_proxy", ("NO_PROXY", "*")),
        ("http_proxy", None),
    ],
)
def test_a_proxy_that_is_not_used_for_the_host_is_not_complained_about(
    client, wire, hook_for, trusted, monkeypatch, value, unused, no_proxy
):
    server = wire(tls=trusted)
    monkeypatch.setenv(unused, value)
    if no_proxy:
        monkeypatch.setenv(*no_proxy)
    assert isinstance(send(hook_for(server), client)[0], InviteAnswer)


@pytest.mark.parametrize(
    ("written", "pair"),
    [
        ("u:p@", b"u:p"),
        ("u@", b"u:"),
        ("u:@", b"u:"),
        ("u%40x:p%2F%3A%23@", b"u@x:p/:#"),
        ("u:%C3%A9@", "u:é".encode("latin-1")),
        ("u:%D0%B6@", "u:ж".encode()),
        ("", None),
    ],
)
def test_user_and_password_of_a_proxy_are_unquoted(monkeypatch, written, pair):
    monkeypatch.setenv("https_proxy", f"http://{written}proxy.test:3128")
    proxy = Route.from_environment(TARGET).proxy
    assert proxy is not None
    assert proxy.url == "http://proxy.test:3128"
    assert proxy.authorization == (f"Basic {base64.b64encode(pair).decode()}" if pair else None)
    assert "Basic" not in repr(proxy)


# certificates


def hashed(folder: Path, certificate: Path) -> Path:
    """A directory as OpenSSL looks certificates up in it."""
    folder.mkdir()
    shown = subprocess.run(
        ["openssl", "x509", "-hash", "-noout", "-in", str(certificate)], check=True, capture_output=True, text=True
    )
    shutil.copy(certificate, folder / f"{shown.stdout.strip()}.0")
    return folder


needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="the hash of a certificate takes openssl")


@pytest.mark.parametrize("variable", CA_VARIABLES)
@pytest.mark.parametrize("form", ["file", pytest.param("directory", marks=needs_openssl)])
def test_each_variable_is_read_as_a_file_or_a_directory(
    client, wire, hook_for, self_signed, monkeypatch, tmp_path, variable, form
):
    server = wire(tls=self_signed[0])
    place = self_signed[1] if form == "file" else hashed(tmp_path / "certs", self_signed[1])
    monkeypatch.setenv(variable, str(place))
    assert isinstance(send(hook_for(server), client)[0], InviteAnswer)


@needs_openssl
def test_a_list_of_directories_is_read(client, wire, hook_for, self_signed, monkeypatch, tmp_path):
    server = wire(tls=self_signed[0])
    (tmp_path / "empty").mkdir()
    places = [tmp_path / "empty", hashed(tmp_path / "certs", self_signed[1])]
    monkeypatch.setenv("SSL_CERT_DIR", os.pathsep.join(map(str, places)))
    assert isinstance(send(hook_for(server), client)[0], InviteAnswer)


@pytest.mark.parametrize("place", range(4))
def test_the_first_variable_that_is_set_counts(client, wire, hook_for, self_signed, monkeypatch, place):
    server = wire(tls=self_signed[0])
    for number, variable in enumerate(CA_VARIABLES):
        value = "" if number < place else str(self_signed[1]) if number == place else "/no/such/file"
        monkeypatch.setenv(variable, value)
    assert isinstance(send(hook_for(server), client)[0], InviteAnswer)


def test_a_bundle_of_other_certificates_is_named_where_one_is_not_trusted(
    client, wire, hook_for, self_signed, monkeypatch
):
    import certifi

    server = wire(tls=self_signed[0])
    monkeypatch.setenv("SSL_CERT_FILE", certifi.where())
    text = str(not_sent(hook_for(server), client))
    assert "certificate verify failed" in text
    assert f"trusted is the CA certificate bundle {certifi.where()} (SSL_CERT_FILE)" in text
    assert server.seen == []


def damaged(kind: str, folder: Path, good: str) -> Path:
    path = folder / "bundle.pem"
    half = good[: len(good) // 2]
    texts = {
        "empty": "",
        "blank": " \n\n",
        "no certificates": "no certificates\n",
        "cut": half,
        "cut after a good one": good + half,
        "rubbish in it": good + good.replace("M", "!"),
        "a private key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    }
    if kind in texts:
        path.write_text(texts[kind])
    elif kind == "DER":
        path.write_bytes(ssl.PEM_cert_to_DER_cert(good))
    elif kind == "UTF-16":
        path.write_bytes(good.encode("utf-16"))
    elif kind == "an empty directory":
        path.mkdir()
    elif kind == "a directory without hashes":
        path.mkdir()
        (path / "ca.pem").write_text(good)
        (path / "dead0000.0").symlink_to(path / "gone.pem")
    return path


@pytest.mark.parametrize("variable", CA_VARIABLES)
@pytest.mark.parametrize(
    "kind",
    [
        *("missing", "empty", "blank", "no certificates", "cut", "cut after a good one", "rubbish in it"),
        *("a private key", "DER", "UTF-16", "an empty directory", "a directory without hashes"),
    ],
)
def test_certificates_that_cannot_be_used_are_refused_by_variable_and_file(
    client, wire, hook_for, self_signed, monkeypatch, tmp_path, variable, kind
):
    server = wire(tls=self_signed[0])
    path = damaged(kind, tmp_path, self_signed[1].read_text())
    monkeypatch.setenv(variable, str(path))
    text = str(refusal(hook_for(server), client, AccountError))
    assert f"the CA certificate bundle {path} ({variable}) cannot be used: " in text
    assert server.connections == 0


def test_certificates_are_not_looked_at_where_no_tls_is_used(client, wire, hook_for, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file")
    assert isinstance(send(hook_for(wire()), client)[0], InviteAnswer)


def test_nothing_but_the_named_bundle_is_trusted(monkeypatch, self_signed):
    monkeypatch.setenv("SSL_CERT_FILE", str(self_signed[1]))
    context = Route.from_environment(TARGET).context
    assert context is not None
    assert context.cert_store_stats()["x509"] == 1
