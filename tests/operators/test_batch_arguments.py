"""Arguments of a batch that make no sense, or that a task or a template has not given."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from airflow_provider_omnichat.operators.omnichat import SendInviteBatchOperator
from tests.support.airflow_harness import START, run_task
from tests.support.airflow_versions import HAS_STATE_STORE, needs_runner
from tests.support.batch_tasks import MESSAGE, XCom, batch, counts, people


@pytest.mark.parametrize(
    "wrong",
    [
        {"on_unknown": "send"},
        {"on_empty": "ignore"},
        {"results_format": "xml"},
        {"rate_limit": 0},
        {"rate_limit": -1},
        {"rate_limit": math.nan},
        {"concurrency": 0},
        {"concurrency": 1001},
        {"max_rejected_ratio": 1.1},
        {"max_rejected_ratio": -0.1},
    ],
    ids=str,
)
def test_an_argument_that_makes_no_sense_is_refused_when_the_dag_is_parsed(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        batch([], **wrong)


@needs_runner
def test_a_campaign_that_nobody_would_remember_is_refused(at_sandbox):
    run = run_task(batch(people(3), campaign="welcome", retries=2), retries=2)
    assert run.state == "failed"
    assert "needs ledger_conn_id" in str(run.error)
    assert at_sandbox.requests_seen == 0


@pytest.mark.skipif(HAS_STATE_STORE, reason="Airflow 3.3 has the task state store")
def test_without_a_store_retries_are_refused_and_none_is_taken(at_sandbox):
    run = run_task(batch(people(3), retries=2), retries=2)
    assert run.state == "failed"
    assert "so a retry would not know whom to send to" in str(run.error)
    assert at_sandbox.requests_seen == 0
    assert run_task(batch(people(3), retries=0)).succeeded
    assert at_sandbox.requests_seen == 3


# what a task or a template has not given

MUST_LAST = sorted({*SendInviteBatchOperator.template_fields} - {"invites", "resend_key"})


@needs_runner
@pytest.mark.parametrize("name", MUST_LAST)
def test_an_argument_whose_task_gave_nothing_stops_everything(at_sandbox, ledger, name):
    run = run_task(batch(people(3), **{**ledger, "retries": 2, name: XCom(None)}), upstream={"find": None}, retries=2)
    assert run.state == "failed"
    assert f"Nothing was sent. {name}: was given and is None now" in str(run.error)
    assert at_sandbox.requests_seen == 0


@pytest.mark.parametrize("name", MUST_LAST)
def test_an_argument_whose_template_gives_nothing_stops_everything(at_sandbox, ledger, name):
    run = run_task(batch(people(3), **{**ledger, name: " {{ params.get('no') or '' }}"}))
    assert run.state == "failed"
    assert f"Nothing was sent. {name}: was given and is empty now" in str(run.error)
    assert at_sandbox.requests_seen == 0


@pytest.mark.parametrize("name", ["campaign", "ledger_conn_id", "results_path", "suppression", "application_key"])
@pytest.mark.parametrize("blank", ["", "  "])
def test_a_blank_text_such_as_an_empty_variable_of_the_environment_is_not_none(at_sandbox, ledger, name, blank):
    run = run_task(batch(people(3), **{**ledger, name: blank}))
    assert run.state == "failed"
    assert f"Nothing was sent. {name}: was given and is empty now" in str(run.error)
    assert at_sandbox.requests_seen == 0


def test_an_argument_that_is_written_down_as_none_is_not_given(at_sandbox):
    names = ["application_key", "integration_type", "default_region", "campaign", "ledger_conn_id", "results_path"]
    run = run_task(batch(people(3), **dict.fromkeys(names)))
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 3}


def test_a_resend_key_may_render_to_nothing(at_sandbox):
    assert run_task(batch(people(3), resend_key="{{ params.get('no') or '' }}")).succeeded


def mapped(**given: Any) -> Any:
    """A partial batch, to be expanded."""
    return SendInviteBatchOperator.partial(task_id="invite", message=MESSAGE, retry_budget=1.0, **given)


@needs_runner
@pytest.mark.parametrize("name", ["suppression", "approved", "campaign", "results_path"])
@pytest.mark.parametrize("nothing", [None, ""])
@pytest.mark.parametrize("how", ["expand", "expand_kwargs", "output"])
def test_nothing_among_what_a_mapped_task_is_expanded_to_stops_that_one(at_sandbox, ledger, name, nothing, how):
    from airflow.sdk import DAG, BaseOperator

    with DAG("invites", schedule=None):
        if how == "expand":
            task = mapped(invites=people(3), **ledger).expand(**{name: [nothing]})
        elif how == "expand_kwargs":
            task = mapped(**ledger).expand_kwargs([{"invites": people(3), name: nothing}])
        else:
            task = mapped(invites=people(3), **ledger).expand(**{name: BaseOperator(task_id="find").output})
    run = run_task(task, map_index=0, upstream={"find": [nothing]}, retries=2)
    assert run.state == "failed"
    now = "None" if nothing is None else "empty"
    assert f"Nothing was sent. {name}: was given and is {now} now" in str(run.error)
    assert "leave it out of expand_kwargs" in str(run.error)
    assert at_sandbox.requests_seen == 0


def test_what_a_mapped_task_in_a_group_is_expanded_to_is_told_on_every_airflow(at_sandbox):
    from airflow.providers.common.compat.sdk import DAG, TaskGroup

    with DAG("invites", schedule=None, start_date=START), TaskGroup("spring"):
        task: Any = mapped(invites=people(3), campaign=None).expand(approved=[None])
    run = run_task(task.unmap({"approved": None}))
    assert run.state == "failed"
    assert "Nothing was sent. approved: was given and is None now" in str(run.error)
    assert at_sandbox.requests_seen == 0


@needs_runner
def test_what_a_mapped_task_is_not_expanded_to_may_be_none(at_sandbox, ledger):
    from airflow.sdk import DAG

    with DAG("invites", schedule=None):
        none = dict.fromkeys(["approved", "suppression", "campaign", "results_path", "default_region"])
        task = mapped(**{**ledger, **none}).expand_kwargs([{"invites": people(3), "resend_key": ""}])
    run = run_task(task, map_index=0)
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 3}


def test_a_word_that_is_no_fingerprint_is_no_approval(at_sandbox):
    run = run_task(batch(people(3), approved="x"))
    assert run.state == "failed"
    assert "this is not the list that was approved" in str(run.error)
    assert at_sandbox.requests_seen == 0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"send_window": ("9", "20:00")}, "send_window"),
        ({"send_window": "09:00-20:00"}, "send_window"),
        ({"send_window": {"opens": "09:00"}}, 'or SendWindow("09:00", "20:00", days="mon-sat"); is {'),
        ({"max_per_recipient": (2, "7d")}, "max_per_recipient needs ledger_conn_id"),
        ({"max_per_recipient": "2/7d", "ledger_conn_id": "x"}, "max_per_recipient: must be like"),
        ({"budget": {"max_invites": 9}}, "budget must be a Budget, such as Budget(max_invites=10_000), or None"),
        ({"budget": 10_000}, "budget must be a Budget"),
    ],
)
def test_an_argument_that_is_none_is_an_error_when_the_dag_file_is_parsed(given, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        batch([], **given)
