"""Which certificates of the environment are trusted, by both clients alike."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from airflow_provider_omnichat.api.errors import AccountError
from airflow_provider_omnichat.api.models import InviteAnswer
from airflow_provider_omnichat.api.route import CA_VARIABLES, Route
from tests.support.both_clients import not_sent, refusal, send
from tests.support.proxy_server import TARGET


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
