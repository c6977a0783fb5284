"""What Airflow's *Rendered Template* shows of a text: its template with nothing filled in, or its length."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.airflow_harness import run_task
from tests.support.airflow_versions import needs_runner
from tests.support.batch_tasks import XCom, batch, people
from tests.support.example_invite import NUMBER
from tests.support.single_tasks import invite


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("Hi {name}, come to <link>", "Hi {name}, come to <link>"),
        ("Hi {name}, call +41 79 302 67 27 or <link>", "Hi {name}, call +41 7****27 or <link>"),
        ("{{ 'Hi' }} Ada <link>", "{{ 'Hi' }} Ada <link>"),
        ("Hi Ada, come to <link>", "<text of 22 characters>"),
    ],
)
def test_a_batch_shows_the_template_as_it_stands_in_the_dag_file(at_sandbox, message, shown):
    run = run_task(batch(people(2), message=message))
    assert run.succeeded, run.error
    assert run.rendered["message"] == shown
    assert len(at_sandbox.accepted) == 2


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("{{ 'Hi' }} Ada <link>", "{{ 'Hi' }} Ada <link>"),
        ("Hi {Ada} <link>", "<text of 15 characters>"),
        ("Hi Ada <link>", "<text of 13 characters>"),
    ],
)
def test_one_invite_shows_the_template_as_it_stands_in_the_dag_file(at_sandbox, message, shown):
    run = run_task(invite(message=message))
    assert run.succeeded, run.error
    assert run.rendered["message"] == shown


@needs_runner
def test_what_another_task_has_given_is_shown_by_its_length(at_sandbox):
    text: dict[str, Any] = {"find": "Hi {name} and Ada <link>"}
    run = run_task(batch(people(1), message=XCom("")), upstream=text)
    assert run.succeeded, run.error
    assert run.rendered["message"] == "<text of 24 characters>"


def test_the_number_in_the_answer_is_masked_on_demand(at_sandbox):
    run = run_task(invite(mask_to=True))
    assert run.xcom["return_value"]["to"] == f"{NUMBER[:5]}****{NUMBER[-2:]}"
    assert run.xcom["return_value"]["messageId"] == run.xcom["messageId"] == at_sandbox.accepted[0].message_id
    assert NUMBER not in str(run.xcom)
