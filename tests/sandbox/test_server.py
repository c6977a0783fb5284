"""The sandbox as tests embed it."""

import asyncio
import json
import socket
import threading
import time
from functools import partial
from typing import Any

import pytest
import requests

from airflow_provider_omnichat.sandbox import Credentials, Sandbox, Settings
from airflow_provider_omnichat.sandbox.account import Account
from airflow_provider_omnichat.sandbox.fault_plan import FaultPlan
from airflow_provider_omnichat.sandbox.server import serving
from tests.support.patience import PATIENCE_SECONDS, wait_until


def test_start_and_stop_sleep_nowhere(monkeypatch):
    sleep = asyncio.sleep

    async def yield_only(seconds, *result):
        assert seconds == 0
        return await sleep(0, *result)

    real, others = time.sleep, set(threading.enumerate()) - {threading.current_thread()}

    def fail_but_for_others(seconds):
        assert threading.current_thread() in others, "it sleeps"
        real(seconds)

    monkeypatch.setattr(asyncio, "sleep", yield_only)
    monkeypatch.setattr(time, "sleep", fail_but_for_others)
    for _ in range(2):
        with Sandbox():
            pass


def test_two_sandboxes_know_nothing_of_each_other(post):
    with Sandbox() as one, Sandbox() as other:
        assert one.port != other.port
        post(one)
        assert (len(one.outbox), len(other.outbox)) == (1, 0)
        assert post(other, auth=one.auth).status_code == 401


def test_outbox_stays_readable_after_the_stop(post):
    with Sandbox() as sandbox:
        post(sandbox)
    assert len(sandbox.accepted) == 1
    with pytest.raises(requests.ConnectionError):
        post(sandbox)


def test_stop_does_not_wait_for_a_hanging_answer(post):
    with Sandbox() as sandbox:
        sandbox.script("hang-after")
        ended = threading.Event()

        def client():
            with pytest.raises(requests.ConnectionError):
                post(sandbox)
            ended.set()

        threading.Thread(target=client).start()
        wait_until(lambda: sandbox.requests_seen)
    assert ended.wait(PATIENCE_SECONDS)


def test_hanging_answers_end_when_their_clients_go_away():
    async def leftovers():
        settings = Settings()
        account = Account(settings, FaultPlan(["hang-before"]))
        async with serving(account) as port:
            before = len(asyncio.all_tasks())

            def as_many(number: int) -> bool:
                return account.outbox.requests_seen == number

            path = f"/omnichat/1/applications/{settings.application_key}/integrations/FACEBOOK/invite"
            body = '{"to": "41793026727", "message": "Hi"}'
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: App {settings.credentials.api_key}\r\n"
            for seen in range(1, 4):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
                await asyncio.to_thread(wait_until, partial(as_many, seen))
                writer.close()
            loop = asyncio.get_running_loop()
            await asyncio.to_thread(wait_until, lambda: len(asyncio.all_tasks(loop)) == before)
        return account.outbox.totals().by_fault

    assert asyncio.run(leftovers()) == {"hang-before": 3}


def test_many_clients_at_once_are_all_counted(sandbox, post):
    def client():
        for _ in range(10):
            post(sandbox)

    threads = [threading.Thread(target=client) for _ in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert len(sandbox.outbox) <= 80
    assert sandbox.requests_seen == sandbox.totals.accepted == 80
    assert [receipt.sequence for receipt in sandbox.outbox] == list(range(1, 81))


def test_port_in_use_is_an_os_error():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            Sandbox(settings=Settings(port=taken.getsockname()[1])).start()


def test_host_that_others_can_reach_is_refused():
    for host in ("0.0.0.0", "192.0.2.1", "example.com", ""):
        with pytest.raises(ValueError, match="loopback"):
            Settings(host=host)


def test_airflow_connection_leads_to_this_sandbox(sandbox):
    connection = json.loads(sandbox.airflow_connection)
    assert (connection["conn_type"], connection["host"], connection["port"]) == (
        "omnichat",
        "http://127.0.0.1",
        sandbox.port,
    )
    assert (connection["login"], connection["password"]) == sandbox.auth
    assert connection["extra"] == {"application_key": sandbox.application_key, "integration_type": "FACEBOOK"}


def test_secrets_are_not_in_the_repr():
    credentials = Credentials()
    for secret in (credentials.password, credentials.api_key, credentials.client_secret):
        assert secret not in repr(Settings(credentials=credentials))


def test_credentials_outside_ascii_are_let_in():
    ours = Credentials(user="zoë", password="pässwörd")
    with Sandbox(settings=Settings(credentials=ours)) as sandbox:
        for encoding in ("utf-8", "latin-1"):
            auth: Any = (ours.user.encode(encoding), ours.password.encode(encoding))  # bytes are taken, too
            url = f"{sandbox.url}/omnichat/1/applications/{sandbox.application_key}/users"
            assert requests.get(url, auth=auth, timeout=PATIENCE_SECONDS).status_code == 200
