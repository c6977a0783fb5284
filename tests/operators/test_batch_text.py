"""What is wrong with the text of a list is said once: when the DAG is parsed, or before the list is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.airflow_harness import run_task
from tests.support.airflow_versions import needs_runner
from tests.support.batch_tasks import batch, counts, number, people

WRONG = [
    ({"message": "Hello, come to us"}, "message: does not contain the link placeholder"),
    ({"message": "Hello <link>", "link_placeholder": "##"}, "message: does not contain the link placeholder"),
    ({"message": "a" * 4000 + "<link>"}, "message: is too long"),
    ({"message": "half a \ud83d <link>"}, "message: has half a character"),
    ({"message": "Hello {0} <link>"}, "message template, character 7"),
]


class Unread:
    """A list that nobody may look at."""

    def __iter__(self) -> Iterator[Any]:
        raise AssertionError("read")


@pytest.mark.parametrize(("given", "said"), WRONG)
def test_a_constant_text_that_is_wrong_is_refused_when_the_dag_is_parsed(given, said):
    with pytest.raises(ValueError, match=said):
        batch(people(1), **given)


@needs_runner
@pytest.mark.parametrize(("given", "said"), WRONG)
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_text_that_turns_out_wrong_is_refused_before_the_list_is_read(at_sandbox, given, said, dry_run):
    templated = {**given, "message": "{{ params.text }}", "params": {"text": given["message"]}}
    run = run_task(batch(Unread(), dry_run=dry_run, retries=3, **templated), retries=3)
    assert run.state == "failed"
    assert str(run.error).startswith(f"Nothing was sent. {said}")
    assert str(run.error).count(said) == 1
    assert at_sandbox.requests_seen == 0


def test_a_field_may_bring_the_placeholder(at_sandbox):
    invites = [{"to": f"+{number(0)}", "end": "at <link>"}, {"to": f"+{number(1)}", "end": "nowhere"}]
    run = run_task(batch(invites, message="Hello, come {end}"))
    assert counts(run) == {"accepted": 1, "invalid": 1}


@pytest.mark.parametrize(
    ("row", "question"),
    [
        ({"message": "no link"}, "is it the right text?"),
        ({"to": "nobody"}, "is it the right list, and the right column?"),
    ],
)
def test_when_no_row_is_fit_the_question_is_about_what_is_wrong(at_sandbox, row, question):
    run = run_task(batch(people(3, **row)))
    assert run.state == "failed"
    first, cause, *_ = str(run.error).splitlines()
    assert first == f"Not one of 3 rows could be sent; {question}"
    assert cause.startswith("  invalid: ")
