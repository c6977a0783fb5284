"""The operator as Airflow runs it: templates, XComs, mapping, and what each failure does to the task."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_omnichat.api.errors import AccountError, InviteNotSentError
from airflow_provider_omnichat.operators.omnichat import SendInviteOperator
from airflow_provider_omnichat.tasks.earlier_tries import BEGUN_KEY
from tests.support.airflow_harness import run_task
from tests.support.airflow_versions import HAS_STATE_STORE, needs_runner
from tests.support.example_invite import MESSAGE, NUMBER
from tests.support.patience import PATIENCE_SECONDS
from tests.support.single_tasks import invite
from tests.support.wire_server import ACCEPTED, answer, then_close


def test_an_accepted_invite_pushes_message_id_and_status_and_returns_the_whole_answer(at_sandbox):
    run = run_task(invite())
    assert run.succeeded, run.error
    (receipt,) = at_sandbox.accepted
    assert (receipt.to, receipt.message, receipt.link_placeholder) == (NUMBER, MESSAGE, "<link>")
    assert run.xcom["messageId"] == receipt.message_id
    assert isinstance(run.xcom["messageId"], str)
    assert run.xcom["status"] == receipt.status.as_wire()
    assert run.xcom["return_value"] == {
        "to": NUMBER,
        "messageCount": 1,
        "messageId": receipt.message_id,
        "status": receipt.status.as_wire(),
    }
    assert json.dumps(run.xcom)


def test_do_xcom_push_false_keeps_all_of_it_out(at_sandbox):
    run = run_task(invite(do_xcom_push=False))
    assert run.succeeded
    assert run.xcom == {}


def test_every_template_field_is_rendered(wire, hook_for, monkeypatch):
    server = wire()
    hook_for(server)
    monkeypatch.setenv("AIRFLOW_CONN_CONN_RUN_1", os.environ["AIRFLOW_CONN_OMNICHAT_DEFAULT"])
    run = run_task(
        invite(
            to="079 302 67 {{ 27 }}",
            message="{{ run_id }}: [link]",
            link_placeholder="[{{ 'link' }}]",
            application_key="KEY-{{ run_id }}",
            integration_type="{{ 'telegram' | upper }}",
            omnichat_conn_id="conn_{{ run_id | replace('-', '_') }}",
            default_region="{{ 'ch' }}",
            resend_key="{{ ds }}",
        )
    )
    assert run.succeeded, run.error
    (seen,) = server.seen
    assert seen.path == "/omnichat/1/applications/KEY-run-1/integrations/TELEGRAM/invite"
    assert json.loads(seen.body) == {"to": NUMBER, "linkPlaceholder": "[link]", "message": "run-1: [link]"}
    assert set(run.rendered) == set(SendInviteOperator.template_fields)
    assert (run.rendered["omnichat_conn_id"], run.rendered["resend_key"]) == ("conn_run_1", "2026-01-01")


def test_number_and_text_are_not_in_the_rendered_fields(at_sandbox):
    run = run_task(invite(to="{{ '+' ~ 41793026727 }}"))
    assert run.succeeded
    assert run.rendered["to"] == "+4179****27"
    assert run.rendered["message"] == f"<text of {len(MESSAGE)} characters>"


@needs_runner
def test_inputs_can_come_from_a_task(at_sandbox):
    from airflow.sdk import DAG, task

    with DAG("invites", schedule=None):

        @task
        def customer() -> str:
            return "0041 79 302 67 27"

        @task
        def text() -> str:
            return "{{ not_rendered }} <link>"

        operator = invite(to=customer(), message=text())
    run = run_task(operator, upstream={"customer": "0041 79 302 67 27", "text": "{{ not_rendered }} <link>"})
    assert run.succeeded, run.error
    assert at_sandbox.accepted[0].to == NUMBER
    assert at_sandbox.accepted[0].message == "{{ not_rendered }} <link>"
    assert NUMBER[-6:] not in json.dumps(run.rendered).replace(" ", "")


@pytest.mark.parametrize("name", sorted({*SendInviteOperator.template_fields} - {"resend_key"}))
def test_an_argument_whose_template_gives_nothing_stops_the_invite(at_sandbox, tmp_path, monkeypatch, name):
    ledger = {"conn_type": "sqlite", "host": str(tmp_path / "ledger.sqlite")}
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps(ledger))
    run = run_task(
        invite(**{"ledger_conn_id": "ledger", "retries": 2, name: "{{ params.get('no') or '' }}"}), retries=2
    )
    assert run.state == "failed"
    assert f"Nothing was sent. {name}: was given and is empty now" in str(run.error)
    assert at_sandbox.requests_seen == 0


@needs_runner
@pytest.mark.parametrize("name", ["to", "campaign", "application_key"])
def test_none_among_what_a_mapped_invite_is_expanded_to_stops_that_one(at_sandbox, name):
    from airflow.sdk import DAG

    with DAG("invites", schedule=None):
        mapped = SendInviteOperator.partial(task_id="invite", message=MESSAGE, default_region=None).expand_kwargs(
            [{"to": NUMBER, name: None}]
        )
    run = run_task(mapped, map_index=0)
    assert run.state == "failed"
    assert f"Nothing was sent. {name}: was given and is None now" in str(run.error)
    assert at_sandbox.requests_seen == 0


@needs_runner
def test_a_mapped_invite_is_sent_masked_and_under_its_map_index(at_sandbox, ledger):
    from airflow.sdk import DAG

    with DAG("invites", schedule=None) as dag:
        SendInviteOperator.partial(task_id="invite", message=MESSAGE, retry_budget=0, **ledger).expand(
            to=["+41793026727", "+41793026728"]
        )
    mapped = dag.get_task("invite")
    for index in range(2):
        run = run_task(mapped, map_index=index)
        assert run.succeeded, run.error
        assert run.rendered["to"].endswith(f"****2{7 + index}")
        assert run.rendered["message"].startswith("<text of ")
    assert [receipt.to for receipt in at_sandbox.accepted] == ["41793026727", "41793026728"]


def test_the_operator_can_be_copied_and_does_nothing_when_made():
    import copy

    made = invite(omnichat_conn_id="no_such_connection")
    copied = copy.deepcopy(made)
    assert (copied.to, copied.message) == (made.to, made.message)
    copied.on_kill()


def test_an_unknown_policy_is_refused_when_the_dag_is_parsed():
    with pytest.raises(ValueError, match="on_unknown must be one of hold, resend, lookup, not 'send'"):
        invite(on_unknown="send")


# failures


def test_a_rejected_invite_fails_without_retry_and_still_pushes_what_the_vendor_said(at_sandbox):
    at_sandbox.script("rejected:52")
    run = run_task(invite(retries=3), retries=3)
    assert run.state == "failed"
    assert type(run.error) is AirflowFailException
    assert "(group 5, id 52)" in str(run.error)
    assert run.xcom["status"]["id"] == 52
    assert "return_value" not in run.xcom
    assert at_sandbox.requests_seen == 1


def test_an_unknown_outcome_fails_without_retry_and_says_how_to_go_on(at_sandbox):
    at_sandbox.script("drop-after")
    run = run_task(invite(retries=3, retry_budget=5), retries=3)
    assert run.state == "failed"
    assert type(run.error) is AirflowFailException
    assert "may have been sent, or not" in str(run.error)
    assert 'set on_unknown="resend" and clear it' in str(run.error)
    assert at_sandbox.requests_seen == 1


def test_a_certain_non_send_may_be_retried_by_airflow(at_sandbox):
    at_sandbox.script("429")
    run = run_task(invite(retries=1), retries=1)
    assert run.state == "up_for_retry"
    assert isinstance(run.error, InviteNotSentError)
    assert not isinstance(run.error, AirflowFailException)


def test_a_failed_invite_without_retries_is_red(at_sandbox):
    at_sandbox.script("429")
    assert run_task(invite()).state == "failed"


def test_the_budget_repeats_inside_one_try(at_sandbox):
    at_sandbox.script("429", "503-retry-after:1", "ok")
    assert run_task(invite(retry_budget=PATIENCE_SECONDS)).succeeded
    assert at_sandbox.requests_seen == 3
    assert len(at_sandbox.accepted) == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"to": "+41 79"}, "Nothing was sent. to: +4****9 is too short for a number of +41"),
        ({"to": ""}, "Nothing was sent. to: was given and is empty now"),
        ({"to": "079 302 67 27"}, "Nothing was sent. to: 079 3****27 has no country code"),
        ({"message": "no placeholder"}, "Nothing was sent. message: does not contain the link placeholder, so that"),
        ({"message": "  "}, "Nothing was sent. message: was given and is empty now"),
        (
            {"message": "字" * 1340 + "<link>"},
            "Nothing was sent. message: is too long, the vendor takes at most 25 SMS and 4,000 bytes:"
            " 4,020 bytes in UTF-8 without the link. Shorten it.",
        ),
        (
            {"message": "a" * 3826 + "<link>"},
            "Nothing was sent. message: is too long, the vendor takes at most 25 SMS and 4,000 bytes:"
            " 26 SMS in GSM-7 without the link. Shorten it.",
        ),
        ({"link_placeholder": ""}, "Nothing was sent. link_placeholder: was given and is empty now"),
        ({"application_key": ".."}, "Nothing was sent. application_key: is blank, dots"),
        ({"default_region": "Switzerland"}, "Nothing was sent. default_region: is not a country"),
    ],
)
def test_what_is_invalid_fails_without_retry_and_without_a_request(at_sandbox, given, said):
    store: dict[str, Any] = {}
    run = run_task(invite(retries=3, **given), retries=3, store=store)
    assert run.state == "failed"
    assert type(run.error) is AirflowFailException
    assert str(run.error).startswith(said)
    assert at_sandbox.requests_seen == 0
    assert set(store) <= {BEGUN_KEY}


def test_a_connection_that_cannot_be_used_says_all_that_is_wrong_and_sends_nothing(sandbox, hook_for):
    hook_for(sandbox, login="", extra={"timeout": "soon"})
    run = run_task(invite())
    assert isinstance(run.error, AccountError)
    assert "login: is empty" in str(run.error)
    assert "timeout: must be a number of seconds" in str(run.error)
    assert sandbox.requests_seen == 0


def test_a_connection_that_is_not_there_fails(monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_OMNICHAT_DEFAULT", raising=False)
    run = run_task(invite(omnichat_conn_id="not_there"))
    assert run.state == "failed"
    assert "not_there" in str(run.error)


@needs_runner
def test_the_connection_can_come_from_airflow_itself(sandbox):
    given = json.loads(sandbox.airflow_connection)
    run = run_task(invite(omnichat_conn_id="from_the_server"), connections={"from_the_server": given})
    assert run.succeeded, run.error
    assert len(sandbox.accepted) == 1


# being stopped


def test_on_kill_ends_the_repeats_and_the_task_is_red(at_sandbox, monkeypatch):
    at_sandbox.set_faults(["429"])
    execute = SendInviteOperator.execute

    def execute_and_be_killed(self: SendInviteOperator, context: Any) -> Any:
        threading.Timer(0.5, self.on_kill).start()
        return execute(self, context)

    monkeypatch.setattr(SendInviteOperator, "execute", execute_and_be_killed)
    begin = time.monotonic()
    run = run_task(invite(retry_budget=60))
    assert time.monotonic() - begin < 50
    assert run.state == "failed"
    assert isinstance(run.error, InviteNotSentError)
    assert at_sandbox.accepted == []


@needs_runner
def test_on_kill_before_there_is_a_client_sends_nothing(at_sandbox, monkeypatch):
    execute = SendInviteOperator.execute

    def be_killed_and_execute(self: SendInviteOperator, context: Any) -> Any:
        self.on_kill()
        return execute(self, context)

    monkeypatch.setattr(SendInviteOperator, "execute", be_killed_and_execute)
    run = run_task(invite(retry_budget=60))
    assert isinstance(run.error, InviteNotSentError)
    assert at_sandbox.requests_seen == 0


@needs_runner
def test_execution_timeout_in_the_middle_of_a_request_leaves_a_claim_that_holds_the_next_try(at_sandbox):
    assert run_task(invite()).succeeded  # what is imported by the first send must not use up the time of the second
    at_sandbox.clear()
    at_sandbox.script("hang-after")
    store: dict[str, Any] = {}
    operator = invite(execution_timeout=timedelta(seconds=1.5), retries=1)
    run = run_task(operator, retries=1, store=store)
    assert type(run.error).__name__ == "AirflowTaskTimeout"
    assert at_sandbox.requests_seen == 1
    if not HAS_STATE_STORE:
        return
    again = run_task(invite(retries=1), retries=1, try_number=2, store=store)
    assert again.state == "failed"
    assert "ended before it could say how" in str(again.error)
    assert at_sandbox.requests_seen == 1


# Airflow without the store


@pytest.mark.skipif(HAS_STATE_STORE, reason="Airflow 3.3 has a task state store")
def test_without_a_state_store_one_line_in_the_log_says_what_is_not_covered(at_sandbox, caplog, capsys):
    assert run_task(invite()).succeeded
    line = "has no task state store"
    assert max(caplog.text.count(line), "".join(capsys.readouterr()).count(line)) == 1


def test_a_rejection_at_the_wire_pushes_the_status_with_fields_that_nobody_knows(wire, hook_for):
    status = {**ACCEPTED["status"], "groupId": 5, "id": 999, "lane": 3}  # type: ignore[dict-item]
    hook_for(wire(answer(200, {**ACCEPTED, "status": status})))
    assert run_task(invite()).xcom["status"] == status


def test_a_broken_connection_pushes_no_answer(wire, hook_for):
    hook_for(wire(then_close()))
    run = run_task(invite())
    assert run.state == "failed"
    assert set(run.xcom) <= {"invite_progress"}


def test_no_method_hides_one_of_airflows_own():
    """Airflow 2 keeps its logger in ``_log``: a method of that name broke every copy of the task."""
    from airflow.providers.common.compat.sdk import BaseOperator

    meant = {"execute", "on_kill", "template_fields", "ui_color", "operator_extra_links"}
    meant |= {"_do_render_template_fields", "_render"}
    own = {name for kind in SendInviteOperator.__mro__ if "omnichat" in kind.__module__ for name in vars(kind)}
    hidden = {name for name in own if hasattr(BaseOperator, name) and not name.startswith("__")}
    assert hidden <= meant | {name for name in own if name.startswith(("_BaseOperator", "_abc"))}


ODD_ANSWERS = {
    "an infinite number": b'"x": 1e999, "messageCount": -1e999',
    "a number of 400 digits": b'"x": %b' % (b"9" * 400),
    "900 levels": b'"x": %b1%b' % (b"[" * 900, b"]" * 900),
    "900 levels of objects": b'"x": %b1%b' % (b'{"a":' * 900, b"}" * 900),
    "half a character": rb'"x\ud83d": "\ud83d", "messageId": "m\ud83d"',
    "half a character in UTF-8": b'"x": "\xed\xa0\xbd"',
    "NUL": rb'"x": "\u0000", "messageId": "m\u0000"',
}


@pytest.mark.parametrize("in_sql", [False, True], ids=["state store", "sql"])
@pytest.mark.parametrize("odd", ODD_ANSWERS.values(), ids=ODD_ANSWERS)
def test_an_accepted_invite_stays_green_and_recorded_whatever_else_the_answer_holds(
    wire, hook_for, ledger, odd, in_sql
):
    """Where Airflow's task runner and its supervisor, which take no such values, see the answer, it is long sent."""
    rest = b'"status": {"groupId": 1, "id": 7, "name": "PENDING\\ud83d\\u0000"}}'
    first = b"" if b"messageId" in odd else b'"messageId": "m", '
    server = wire(answer(200, b"{" + first + odd + b", " + rest))
    hook_for(server)
    arguments = ledger if in_sql else {}
    run = run_task(invite(**arguments))
    assert run.succeeded, run.error
    assert json.dumps(run.xcom, allow_nan=False, ensure_ascii=False).encode()
    assert "\\u0000" not in json.dumps(run.xcom)
    if msgspec := sys.modules.get("msgspec"):  # what Airflow's tasks speak with their supervisor
        assert msgspec.msgpack.encode(run.xcom)
    if in_sql or HAS_STATE_STORE:
        again = run_task(invite(**arguments), store=run.store)
        assert again.succeeded, again.error
        assert again.xcom["messageId"] == run.xcom["messageId"]
    assert len(server.invites) == 1


def test_what_the_vendor_says_reaches_the_log_in_one_line_and_without_the_number(wire, hook_for, capfd, caplog):
    odd = f"m-1\r\nINFO - forged \x1b[31m\u202e {NUMBER} +41 79 302 67 27"
    hook_for(wire(answer(200, {**ACCEPTED, "messageId": odd, "status": {"groupId": 1, "id": 7, "name": odd}})))
    caplog.set_level("INFO")
    run = run_task(invite())
    assert run.succeeded, run.error
    assert run.xcom["messageId"] == odd
    shown = capfd.readouterr()
    log = shown.out + shown.err + caplog.text
    assert "messageId m-1 INFO - forged [31m *** +***, status m-1 INFO - forged [31m *** +*** (group 1, id 7)" in log
    assert not any(bad in log for bad in (NUMBER, "+41 79 302 67 27", "\x1b[31m", "\u202e", "m-1\n", "m-1\r"))
