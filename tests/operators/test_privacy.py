"""Number, text and credentials: in no error, no log line of any level, no rendered field, not in the state store."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from airflow_provider_omnichat.operators.omnichat import SendInviteOperator
from tests.support.airflow_harness import run_task
from tests.support.what_shows import shown_by
from tests.support.wire_server import ACCEPTED, answer, then_close, then_reset

NUMBER = "41785559182"
MESSAGE = "Liebe Vreni Amstutz, your secret offer waits at <link>"
PASSWORD = "hunter2-hunter2"
TOKEN = "tok3n-tok3n-tok3n"
ECHO = f"to={NUMBER} (+41 78 555 91 82) text={MESSAGE} password={PASSWORD} token={TOKEN} dXNlcjpodW50ZXIyLWh1bnRlcjI="
HIDDEN = (
    NUMBER,
    "8555918",
    "555 91 8",
    "Vreni Amstutz",
    "secret offer",
    PASSWORD,
    TOKEN,
    "dXNlcjpodW50ZXIyLWh1bnRlcjI",
)

OLD = {"requestError": {"serviceException": {"messageId": ECHO, "text": ECHO, "validationErrors": {ECHO: [ECHO]}}}}
NEW = {"errorCode": ECHO, "description": ECHO, "violations": [{"property": "to", "violation": ECHO}]}
STATUS = {"groupId": 5, "id": 52, "name": "REJECTED", "description": ECHO, "action": ECHO}

ANSWERS = {
    "accepted": answer(),
    "rejected": answer(200, {**ACCEPTED, "status": STATUS}),
    "unknown group": answer(200, {**ACCEPTED, "status": {**STATUS, "groupId": 77}}),
    "400": answer(400, OLD),
    "400, new": answer(400, NEW),
    "401": answer(401, OLD),
    "404": answer(404, NEW),
    "429": answer(429, OLD),
    "500": answer(500, OLD),
    "500, text": answer(500, ECHO, "Content-Type: text/plain"),
    "200, text": answer(200, ECHO, "Content-Type: text/plain"),
    "type": answer(200, "x", f"Content-Type: {ECHO}"),
    "redirect": answer(307, b"", f"Location: http://127.0.0.1:1/{NUMBER}"),
    "closed": then_close(),
    "reset": then_reset(b"HTTP/1.1 2"),
    "truncated": then_close(answer()[:-5]),
    "no HTTP": then_close(ECHO.encode() + b"\r\n\r\n"),
}


class Everything(logging.Handler):
    """Keeps each record of each logger as text."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name} {self.format(record)} {record.args!r}")


@pytest.fixture
def logged(monkeypatch):
    handler = Everything()
    root = logging.getLogger()
    names = ["", "urllib3", "requests", "airflow", "airflow.task", "airflow.task.operators", "task"]
    for name in names:
        monkeypatch.setattr(logging.getLogger(name), "level", logging.DEBUG)
    root.addHandler(handler)
    yield handler.lines
    root.removeHandler(handler)


def assert_nothing_shows(*texts: str, not_ours: str = "") -> None:
    found = [(hidden, text) for hidden in HIDDEN for text in texts if hidden in text and hidden not in not_ours]
    places = [f"{hidden!r} in ...{text[max(0, text.index(hidden) - 80) :][:160]!r}" for hidden, text in found]
    assert not places, "\n".join(places)


def stored(store: dict[str, Any]) -> str:
    return json.dumps(store, ensure_ascii=False)


@pytest.mark.parametrize("given", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("auth_type", ["basic", "oauth2"])
def test_nothing_shows_whatever_the_vendor_answers(wire, hook_for, logged, capfd, given, auth_type):
    token = [answer(200, {"access_token": TOKEN, "expires_in": 3600})] if auth_type == "oauth2" else []
    twice = [*token, given] if auth_type == "oauth2" else []
    hook_for(wire(*token, given, *twice), login="user", password=PASSWORD, extra={"auth_type": auth_type})
    run = run_task(SendInviteOperator(task_id="invite", to=f"+{NUMBER}", message=MESSAGE, retry_budget=0))
    out = capfd.readouterr()
    assert_nothing_shows(
        shown_by(run.error),
        "\n".join(logged),
        stored(run.rendered),
        stored(run.store),
        out.out + out.err,
        not_ours=TOKEN if auth_type == "basic" else "dXNlcjpodW50ZXIyLWh1bnRlcjI",
    )


@pytest.mark.parametrize(
    "given",
    [
        {"to": f"{NUMBER}{NUMBER}"},
        {"to": f"{NUMBER} x"},
        {"to": [NUMBER]},
        {"to": {"number": NUMBER}},
        {"message": MESSAGE.replace("<link>", "")},
        {"message": [MESSAGE]},
        {"message": MESSAGE + "\ud83d"},
        {"link_placeholder": MESSAGE + "!"},
        {"application_key": ".."},
    ],
)
def test_nothing_shows_of_what_is_refused(wire, hook_for, logged, capfd, given):
    server = wire()
    hook_for(server, password=PASSWORD)
    fields = {"to": f"+{NUMBER}", "message": MESSAGE, **given}
    run = run_task(SendInviteOperator(task_id="invite", **fields))
    assert run.state == "failed"
    rendered = {name: value for name, value in run.rendered.items() if name != "link_placeholder"}
    out = capfd.readouterr()
    assert_nothing_shows(shown_by(run.error), "\n".join(logged), stored(rendered), out.out + out.err)
    assert server.seen == []


@pytest.mark.parametrize(
    "broken",
    [
        then_close(),
        answer(401, {"errorCode": PASSWORD, "description": f"bad {PASSWORD}"}),
        answer(500, PASSWORD),
        answer(200, ECHO),
    ],
)
def test_nothing_shows_when_no_token_can_be_had(wire, hook_for, logged, capfd, broken):
    hook_for(wire(broken), password=PASSWORD, extra={"auth_type": "oauth2"})
    run = run_task(SendInviteOperator(task_id="invite", to=f"+{NUMBER}", message=MESSAGE, retry_budget=0))
    out = capfd.readouterr()
    assert_nothing_shows(shown_by(run.error), "\n".join(logged), stored(run.store), out.out + out.err)
