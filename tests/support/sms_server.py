"""The vendor's SMS API as far as ids and logs go: it keeps what was sent under each id, and fails as a test asks."""

from __future__ import annotations

import json
import socket
import threading
from collections import Counter, deque
from contextlib import suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

PENDING = {"groupId": 1, "groupName": "PENDING", "id": 26, "name": "PENDING_ACCEPTED", "description": "accepted"}
DELIVERED = {"groupId": 3, "groupName": "DELIVERED", "id": 5, "name": "DELIVERED_TO_HANDSET", "description": "done"}
DUPLICATE = {
    "groupId": 5,
    "groupName": "REJECTED",
    "id": 23,
    "name": "REJECTED_DUPLICATE_MESSAGE_ID",
    "description": "",
}


class SmsServer:
    """
    A vendor on loopback.

    :param repeats: what becomes of an id that was taken before: ``ignored`` delivers again, ``late`` refuses it in the
        logs only, ``at-once`` in the answer.
    :param plays: what the next requests meet, one each: ``ok``, ``drop-before`` (not taken, no answer), ``drop-after``
        (taken, no answer), ``refused`` (status 52) or an HTTP status (not taken); ``ok`` when they are used up.
    """

    def __init__(self, repeats: str = "late", *plays: str | int, logs_status: int = 200) -> None:
        self.repeats, self.plays, self.logs_status = repeats, deque(plays), logs_status
        self.requests: list[dict[str, Any]] = []
        self.rows: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"vendor": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @property
    def sms(self) -> Counter[str]:
        """How many SMS each number got."""
        return Counter(row["destination"] for row in self.rows if row["status"] is DELIVERED)

    def take(self, body: dict[str, Any]) -> tuple[int | None, dict[str, Any]]:
        """Take a request; return the HTTP status, None for no answer, and the body."""
        (message,) = body["messages"]
        (to,) = message["destinations"]
        with self._lock:
            self.requests.append(body)
            play = self.plays.popleft() if self.plays else "ok"
            if play == "drop-before" or isinstance(play, int):
                return (play if isinstance(play, int) else None), {}
            is_known = any(row["messageId"] == to["messageId"] for row in self.rows)
            status = {**DUPLICATE, "id": 52} if play == "refused" else PENDING
            if status is PENDING:
                is_refused = is_known and self.repeats != "ignored"
                status = DUPLICATE if is_refused and self.repeats == "at-once" else PENDING
                ended = DUPLICATE if is_refused else DELIVERED
                sent = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "+0000")
                ids = {"messageId": to["messageId"], "destination": to["to"], "sentAt": sent, "messageCount": 1}
                self.rows.insert(0, {**ids, "status": ended})
        answer = {
            "messageId": to["messageId"],
            "destination": to["to"],
            "status": status,
            "details": {"messageCount": 1},
        }
        return (200 if play != "drop-after" else None), {"messages": [answer]}

    def read(self, query: dict[str, list[str]]) -> dict[str, Any]:
        """Answer a request for logs."""
        ids = query["messageId"][0].split(",") if "messageId" in query else None
        with self._lock:
            rows = [row for row in self.rows if ids is None or row["messageId"] in ids]
        return {"results": rows, "cursor": {"limit": 500, "nextCursor": None}}

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    vendor: SmsServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.vendor.paths.append(self.path)
        self._answer(*self.vendor.take(body))

    def do_GET(self) -> None:
        self.vendor.paths.append(self.path)
        status = self.vendor.logs_status
        self._answer(status, self.vendor.read(parse_qs(urlsplit(self.path).query)) if status == 200 else {})

    def _answer(self, status: int | None, body: dict[str, Any]) -> None:
        if status is None:
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
