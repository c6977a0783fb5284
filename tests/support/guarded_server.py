"""A second API server beside the one of a deployment: with users and rights, and below a path."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from http.cookiejar import CookieJar
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, Request, build_opener

from tests.support.airflow_deployment import Airflow
from tests.support.folders import ROOT
from tests.support.patience import PATIENCE_SECONDS

PATH = "/below"
HIDDEN_DAG = "tab"
BLIND_USER = "blind"
PASSWORDS = {"admin": "pw-admin", "viewer": "pw-viewer", BLIND_USER: "pw-blind"}


class Answer(NamedTuple):
    status: int
    text: str
    headers: Message


class GuardedServer:
    """
    Asks as one of its users.

    :param address: of the server, with its path.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._tokens: dict[str, str] = {}

    def ask(self, user: str | None, path: str, body: object = None, **headers: str) -> Answer:
        """Ask with the cookie of a user, as a browser does; None for nobody."""
        request = Request(
            f"{self.address}/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Content-Type": "application/json",
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
        )
        if user is not None:
            request.add_header("Cookie", f"_token={self._token(user)}")
        opener = build_opener(HTTPCookieProcessor(CookieJar()))
        try:
            with opener.open(request, timeout=PATIENCE_SECONDS) as answer:
                return Answer(answer.status, answer.read().decode(), answer.headers)
        except HTTPError as error:
            return Answer(error.code, error.read().decode(), error.headers)

    def _token(self, user: str) -> str:
        if user not in self._tokens:
            said = self.ask(None, "auth/token", {"username": user, "password": PASSWORDS[user]})
            self._tokens[user] = json.loads(said.text)["access_token"]
        return self._tokens[user]


@contextmanager
def guarded_server(airflow: Airflow) -> Iterator[GuardedServer]:
    """Start it on the metadata database of a deployment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    passwords = airflow.home / "passwords.json"
    passwords.write_text(json.dumps(PASSWORDS))
    address = f"http://127.0.0.1:{port}{PATH}"
    environment = airflow.environment | {
        "AIRFLOW__API__BASE_URL": address,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__CORE__AUTH_MANAGER": "tests.support.blind_auth_manager.BlindAuthManager",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"admin:admin,viewer:viewer,{BLIND_USER}:viewer",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), airflow.environment.get("PYTHONPATH")))),
    }
    log = airflow.home / "guarded-server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "airflow", "api-server"],
            cwd=airflow.home,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        guarded = GuardedServer(address)
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            assert server.poll() is None, log.read_text(errors="replace")[-3000:]
            assert time.monotonic() < until, log.read_text(errors="replace")[-3000:]
            try:
                if guarded.ask(None, "api/v2/monitor/health").status == 200:
                    break
            except OSError:
                time.sleep(0.2)
        yield guarded
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(PATIENCE_SECONDS)


def address_of(page: str, dag_id: str, run_id: str, task_id: str, map_index: int = -1, **more: Any) -> str:
    """Return the address of one of our pages about a task instance."""
    parts = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index, **more}
    return f"omnichat/{page}?{urlencode(parts)}"
