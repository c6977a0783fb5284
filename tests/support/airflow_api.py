"""A stand-in for Airflow's API server, on loopback: its tokens, and the task state stores of its tasks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

USER, PASSWORD, TOKEN = "robot", "pw-of-robot", "a-token-of-airflow"
_STORE = re.compile(r"/api/v2/dags/([^/]+)/dagRuns/([^/]+)/taskInstances/([^/]+)/state-store(?:/(.+))?")


class AirflowApi:
    """
    Answers as Airflow 3.3 does, which tests in ``airflow_runs/`` have seen.

    :param stores: by task, such as ``dag/run/task``.
    """

    def __init__(self) -> None:
        self.stores: dict[str, Any] = {}
        self.asked: list[str] = []
        self.refusals: dict[str, int] = {}
        """HTTP status by method."""
        self.before: Callable[[int], object] = lambda count: None
        """Called before each answer, with the number of requests."""
        self.url = ""

    def connection(self, **fields: Any) -> str:
        """Return a connection to it, as Airflow's JSON."""
        return json.dumps({"conn_type": "http", "host": self.url, "login": USER, "password": PASSWORD, **fields})

    def answer(self, method: str, target: str, authorization: str, body: Any) -> tuple[int, Any]:
        self.asked.append(f"{method} {target}")
        self.before(len(self.asked))
        if method in self.refusals:
            return self.refusals[method], {"detail": "refused"}
        if (method, target) == ("POST", "/auth/token"):
            is_user = body == {"username": USER, "password": PASSWORD}
            return (201, {"access_token": TOKEN}) if is_user else (401, {"detail": "Invalid credentials"})
        if authorization != f"Bearer {TOKEN}":
            return 401, {"detail": "Not authenticated"}
        parts = urlsplit(target)
        if not (found := _STORE.fullmatch(parts.path)):
            return 404, {"detail": "Not Found"}
        *names, key = found.groups()
        store = self.stores.get("/".join(map(unquote, names)), {})
        if method == "PUT":
            assert body["expires_at"] is None
            store[unquote(key)] = body["value"]
            return 204, None
        query = parse_qs(parts.query)
        begin = int(query["offset"][0])
        chosen = sorted(store)[begin : begin + int(query["limit"][0])]
        values = [{"key": each, "value": store[each], "updated_at": "", "expires_at": None} for each in chosen]
        return 200, {"task_state_store": values, "total_entries": len(store)}


@contextmanager
def airflow_api() -> Iterator[AirflowApi]:
    """Start one."""
    api = AirflowApi()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            given = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, said = api.answer(
                self.command, self.path, self.headers.get("Authorization", ""), json.loads(given or "null")
            )
            body = b"" if said is None else said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            if status != 204:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = _answer

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        api.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()
