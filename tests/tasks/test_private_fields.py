"""Number, text, list and password: not in a task's attributes, nor in the frames of what it raises."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from airflow_provider_omnichat.campaign.engine.batch import Batch
from airflow_provider_omnichat.operators.omnichat import SendInviteBatchOperator, SendInviteOperator
from airflow_provider_omnichat.transfers.sql_to_omnichat import SqlToOmnichatInviteOperator
from tests.support.airflow_harness import run_task
from tests.support.airflow_versions import needs_runner
from tests.support.what_shows import held_by, held_by_frames
from tests.support.wire_server import ACCEPTED, answer, then_close

NUMBER, OTHER, TEXT, PASSWORD = "41785559182", "41785559199", "Liebe Vreni Amstutz <link>", "hunter2-hunter2"
HIDDEN = (NUMBER, OTHER, "Vreni", PASSWORD, "dXNlcjpodW50ZXIy")
ROWS = [{"to": f"+{NUMBER}", "name": "Vreni"}]


def single(**given: Any) -> Any:
    return SendInviteOperator(**{"task_id": "i", "to": f"+{NUMBER}", "message": TEXT, "retry_budget": 0, **given})


def batch(**given: Any) -> Any:
    fields = {"task_id": "i", "invites": ROWS, "message": TEXT, "suppression": [f"+{OTHER}"], "retry_budget": 0}
    return SendInviteBatchOperator(**{**fields, **given})


def transfer(sql: str) -> Any:
    fields: dict[str, Any] = {"conn_id": "ledger", "parameters": [f"+{NUMBER}"], "message": TEXT, "retry_budget": 0}
    return SqlToOmnichatInviteOperator(task_id="i", sql=sql, **fields)


def broken() -> Any:
    yield ROWS[0]
    raise RuntimeError("broken")


@pytest.fixture
def tasks_run(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The operators that have run, as Airflow has them afterwards."""
    ran: list[Any] = []
    for kind in (SendInviteOperator, SendInviteBatchOperator):
        monkeypatch.setattr(kind, "post_execute", lambda self, *_: ran.append(self))
        monkeypatch.setattr(kind, "pre_execute", lambda self, *_: ran.append(self))
    return ran


ANSWER = answer(200, {**ACCEPTED, "to": NUMBER})
REFUSAL = answer(200, {**ACCEPTED, "to": NUMBER, "status": {"groupId": 5, "id": 52}})


@needs_runner
@pytest.mark.parametrize(
    ("make", "given"),
    [
        (single, ANSWER),
        (single, answer(500, "x")),
        (single, answer(401, "x")),
        (single, then_close()),
        (single, REFUSAL),
        (lambda: single(to=NUMBER * 2), ANSWER),
        (batch, ANSWER),
        (batch, answer(500, "x")),
        (batch, answer(401, "x")),
        (lambda: batch(invites=broken()), ANSWER),
        (lambda: batch(suppression=[f"+{OTHER}", "?"]), ANSWER),
        (lambda: batch(default_region="{{ none }}"), ANSWER),
        (lambda: transfer('SELECT ? AS "to"'), answer(500, "x")),
        (lambda: transfer("SELECT ? AS x"), ANSWER),
        (lambda: transfer("SELECT nothing FROM nowhere"), ANSWER),
    ],
)
def test_nothing_private_is_in_attributes_or_frames(wire, hook_for, ledger, tasks_run, make, given):
    hook_for(wire(given, given), login="user", password=PASSWORD)
    run = run_task(make())
    assert tasks_run
    found = [*held_by(tasks_run[-1]), *held_by_frames(run.error)]
    assert found
    assert not [text for text in found if any(hidden in text for hidden in HIDDEN)]


def test_nor_where_nobody_has_thought_of_the_error(wire, hook_for, monkeypatch):
    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Batch, "_queue", fail)
    hook_for(wire(ANSWER), login="user", password=PASSWORD)
    run = run_task(batch())
    assert isinstance(run.error, ZeroDivisionError)
    assert not [text for text in held_by_frames(run.error) if any(hidden in text for hidden in HIDDEN)]


@needs_runner
def test_a_mapped_task_keeps_nothing_of_what_it_is_expanded_to(wire, hook_for, tasks_run, ledger):
    from airflow.sdk import DAG

    hook_for(wire(ANSWER), login="user", password=PASSWORD)
    with DAG("invites", schedule=None):
        given = [{"to": f"+{NUMBER}", "message": TEXT}]
        task = SendInviteOperator.partial(task_id="invite", retry_budget=0, **ledger).expand_kwargs(given)
    run = run_task(task, map_index=0)
    assert run.succeeded, run.error
    assert not [text for text in held_by(tasks_run[-1]) if any(hidden in text for hidden in HIDDEN)]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_works_with_the_same_values(at_sandbox, copied):
    task = single()
    task.render_template_fields({"params": {}})
    assert task.to == "+4178****82"
    assert copied(task).private("to") == f"+{NUMBER}"
    assert copied(task).private("message") == TEXT
