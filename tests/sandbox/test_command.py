"""``omnichat-sandbox`` as a process of its own."""

import json
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import fields

import pytest
import requests

from airflow_provider_omnichat.sandbox.faults import FAULTS
from airflow_provider_omnichat.sandbox.options import DEFAULT_PORT, read_options
from airflow_provider_omnichat.sandbox.settings import Settings
from tests.support.patience import PATIENCE_SECONDS, wait_until

COMMAND = [sys.executable, "-m", "airflow_provider_omnichat.sandbox"]


@contextmanager
def running(ready_file, *options):
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", "--ready-file", str(ready_file), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: ready_file.exists() or process.poll() is not None)
        yield process, json.loads(ready_file.read_text())
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()


def send(ready):
    url = f"{ready['url']}/omnichat/1/applications/{ready['application_key']}/integrations/FACEBOOK/invite"
    body = {"to": "41793026727", "message": "Hi <link>", "linkPlaceholder": "<link>"}
    return requests.post(url, json=body, auth=(ready["user"], ready["password"]), timeout=PATIENCE_SECONDS)


def stop(process, number=signal.SIGTERM):
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, out, err


def test_ready_file_is_enough_to_send_an_invite_and_sigterm_ends_cleanly(tmp_path):
    ready_file = tmp_path / "ready.json"
    with running(ready_file, "--verbose") as (process, ready):
        assert ready_file.stat().st_mode & 0o777 == 0o600
        assert ready["pid"] == process.pid
        assert ready.keys() >= {"port", "api_key", "client_id", "client_secret"}
        assert send(ready).status_code == 200
        code, out, err = stop(process)

    assert (code, err) == (0, "")
    assert f"export AIRFLOW_CONN_OMNICHAT_DEFAULT='{ready['airflow_conn']}'" in out
    assert f"{ready['url']}/" in out
    assert "#1 41793****27 200 PENDING_ENROUTE" in out
    assert "41793026727" not in out
    assert out.endswith(
        "stopped: 1 invite requests, 1 accepted, 0 numbers got the same message twice, 0 several messages\n"
    )
    assert not ready_file.exists()


def test_a_rate_is_printed_as_it_was_given(tmp_path):
    faults = ("--fault", "429:0.003", "--fault", "503:0.29", "--fault", "html:0.0001")
    with running(tmp_path / "ready.json", *faults, "--seed", "1") as (process, _):
        _, out, _ = stop(process)
    assert "429 0.3%, 503 29%, html 0.01% (seed 1)" in out


def test_sigint_ends_cleanly_and_quiet_says_nothing(tmp_path):
    with running(tmp_path / "ready.json", "--quiet", "--fault", "hang-after") as (process, ready):
        with pytest.raises(requests.ReadTimeout):
            requests.post(
                f"{ready['url']}/omnichat/1/applications/{ready['application_key']}/integrations/FACEBOOK/invite",
                json={"to": "41793026727", "message": "Hi"},
                auth=(ready["user"], ready["password"]),
                timeout=(PATIENCE_SECONDS, 0.1),
            )
        assert stop(process, signal.SIGINT) == (0, "", "")


def fails(*options):
    done = subprocess.run([*COMMAND, *options], capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    return done.returncode, done.stderr


def test_port_in_use_is_one_line_and_exit_1():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, error = fails("--port", str(port))
    assert code == 1
    assert f"port {port} on 127.0.0.1 is in use" in error


def test_remote_host_is_one_line_and_exit_2():
    code, error = fails("--host", "0.0.0.0")
    assert code == 2
    assert "--allow-remote" in error


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--fault", "nope"], "the faults are: latency, 429"),
        (["--fault", "429:0.6", "--fault", "503:0.6"], "add up to"),
        (["--latency", "2-1"], "runs backwards"),
        (["--latency", "slow"], "neither seconds nor a range"),
        (["--rate-limit", "0"], "not a number above 0"),
        (["--keep", "-1"], "not a whole number of 0 or more"),
        (["--port", "70000"], "0 to 65535"),
    ],
)
def test_option_that_is_wrong_is_refused_with_a_reason(options, says, capsys):
    with pytest.raises(SystemExit) as refused:
        read_options(options)
    assert refused.value.code == 2
    assert says in capsys.readouterr().err


def test_options_become_settings():
    command = read_options(
        ["--user", "ada", "--integration-type", "VIBER", "--latency", "0.01-0.2", "--rate-limit", "5", "--seed", "3"]
    )
    assert command.settings.credentials.user == "ada"
    assert command.settings.integration_types == ["VIBER"]
    assert command.settings.latency == (0.01, 0.2)
    assert command.settings.rate_limit == 5
    assert command.plan.seed == 3


def test_help_names_every_fault(capsys):
    with pytest.raises(SystemExit):
        read_options(["--help"])
    text = capsys.readouterr().out
    assert all(f" {name} " in text for name in FAULTS)


def test_every_setting_is_an_option_and_what_is_not_given_is_the_settings_own_default():
    command = read_options(["--application-key", "KEY", "--user", ""])
    default = Settings()
    for each in fields(Settings):
        if each.name not in {"application_key", "credentials", "port"}:
            assert getattr(command.settings, each.name) == getattr(default, each.name)
    assert command.settings.port == DEFAULT_PORT
    assert command.settings.credentials.user.startswith("sandbox-")


def test_no_option_is_lost(capsys):
    with pytest.raises(SystemExit):
        read_options(["--help"])
    named = set(re.findall(r"^  (--[a-z0-9-]+)", capsys.readouterr().out, re.MULTILINE))
    assert named == {
        *("--host", "--port", "--allow-remote", "--user", "--password", "--api-key", "--client-id", "--client-secret"),
        *("--token-lifetime", "--application-key", "--integration-type", "--rate-limit", "--rate-limit-retry-after"),
        *("--latency", "--flood-filter", "--repeated-ids", "--id-grace", "--fault", "--seed", "--delivery"),
        *("--delivery-after", "--logs-lag"),
        *("--logs-limit", "--no-logs-scope", "--keep", "--outbox-file", "--ready-file", "--verbose", "--quiet"),
    }
