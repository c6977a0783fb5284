"""Which proxy the environment gives, for both clients alike, over real sockets."""

from __future__ import annotations

import base64

import pytest

from airflow_provider_omnichat.api.errors import AccountError
from airflow_provider_omnichat.api.models import InviteAnswer
from airflow_provider_omnichat.api.route import Route
from tests.support.both_clients import all_that_shows, refusal, send
from tests.support.proxy_server import ENCODED, SECRET, TARGET, with_secret


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
