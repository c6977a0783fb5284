"""The sandbox as a process of its own, new for each run, always under the same address."""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen


class Vendor:
    """
    Where the invites go.

    :param home: a directory for the file that says that the server listens.
    """

    def __init__(self, home: Path) -> None:
        self.user, self.password = "benchmark", secrets.token_hex(12)
        self.application_key = secrets.token_hex(16).upper()
        self._ready = home / "vendor.json"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def invite_path(self) -> str:
        return f"/omnichat/1/applications/{self.application_key}/integrations/FACEBOOK/invite"

    @property
    def omnichat_connection(self) -> dict[str, object]:
        extra = {"application_key": self.application_key, "integration_type": "FACEBOOK"}
        return self._connection("omnichat") | {"extra": json.dumps(extra)}

    @property
    def http_connection(self) -> dict[str, object]:
        return self._connection("http")

    def _connection(self, conn_type: str) -> dict[str, object]:
        return {
            "conn_type": conn_type,
            "host": "http://127.0.0.1",
            "port": self._port,
            "login": self.user,
            "password": self.password,
        }

    @contextmanager
    def running(self, latency_ms: int) -> Iterator[None]:
        """Run the server, and stop it at the end."""
        options = {
            "--port": self._port,
            "--user": self.user,
            "--password": self.password,
            "--application-key": self.application_key,
            "--latency": latency_ms / 1000,
            "--keep": 100,
            "--ready-file": self._ready,
        }
        words = [str(word) for pair in options.items() for word in pair]
        process = subprocess.Popen([sys.executable, "-m", "airflow_provider_omnichat.sandbox", "--quiet", *words])
        try:
            until = time.monotonic() + 30
            while not self._ready.exists():
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError("the sandbox did not start")
                time.sleep(0.02)
            yield
        finally:
            process.terminate()
            process.wait(10)

    def check(self, invites: int) -> None:
        """See that each invite was accepted, and none twice: who sends less is not compared."""
        with urlopen(f"{self.url}/__outbox?limit=1", timeout=30) as answer:
            totals = json.load(answer)["totals"]
        found = totals["requests"], totals["accepted"], totals["numbers_sent_twice"]
        if found != (invites, invites, 0):
            raise RuntimeError(f"{invites} invites were to be sent; requests, accepted and sent twice: {found}")
