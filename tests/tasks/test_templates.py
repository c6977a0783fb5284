"""None in the middle of a text: in a query, a message, a name."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import jinja2
import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_omnichat.decorators.omnichat_invite import omnichat_invite_task
from airflow_provider_omnichat.notifications.omnichat import OmnichatInviteNotifier
from airflow_provider_omnichat.operators.omnichat import SendInviteBatchOperator, SendInviteOperator
from airflow_provider_omnichat.operators.settle import SettleInvitesOperator
from airflow_provider_omnichat.transfers.sql_to_omnichat import SqlToOmnichatInviteOperator
from tests.support.airflow_harness import START, TaskRun, run_task
from tests.support.airflow_versions import needs_runner

NUMBER = "+41793026727"
MESSAGE = "Hi <link>"
QUERY: dict[str, Any] = {"conn_id": "ledger", "sql": "SELECT 1"}


def batch(**given: Any) -> Any:
    return SendInviteBatchOperator(
        **{"task_id": "invite", "message": MESSAGE, "invites": [{"to": NUMBER}], "retry_budget": 0, **given}
    )


def single(**given: Any) -> Any:
    return SendInviteOperator(**{"task_id": "invite", "to": NUMBER, "message": MESSAGE, "retry_budget": 0, **given})


def transfer(**given: Any) -> Any:
    fields = {"task_id": "invite", "sql": "SELECT 1", "conn_id": "ledger", "message": MESSAGE, **given}
    return SqlToOmnichatInviteOperator(**fields)


def decorated(**given: Any) -> Any:
    with DAG("invites", schedule=None, start_date=START):
        return omnichat_invite_task(_since, message=MESSAGE, task_id="invite")(**given).operator


def _since(since: str) -> list[dict[str, Any]]:
    return [{"to": NUMBER}]


def settle(**given: Any) -> Any:
    return SettleInvitesOperator(**{"task_id": "settle", "campaign": "spring", "ledger_conn_id": "ledger", **given})


def run_in_dag(task: Any, values: dict[str, Any] | None = None, **dag: Any) -> TaskRun:
    """Run in a DAG whose templates know *values*."""
    if not task.has_dag():
        task.dag = DAG("in_dag", schedule=None, start_date=START, **dag)
    task.dag.user_defined_macros = values
    return run_task(task)


TEXTS: list[tuple[Any, str, Any]] = [
    (batch, "message", "Hi {x}, <link>"),
    (single, "message", "Hi {x}, <link>"),
    (transfer, "message", "Hi {x}, <link>"),
    (transfer, "sql", "SELECT mobile FROM people WHERE last_order < '{x}'"),
    (transfer, "parameters", ["{x}"]),
    (transfer, "parameters", {"before": "{x}"}),
    (transfer, "results_table", "results_{x}"),
    (batch, "suppression", {**QUERY, "sql": "SELECT phone FROM opt_outs WHERE brand = '{x}'"}),
    (batch, "suppression", {**QUERY, "parameters": ["{x}"]}),
    (batch, "invites", [{"to": NUMBER, "first_name": "{x}"}]),
    (batch, "link_placeholder", "<{x}>"),
    (decorated, "since", "{x}"),
    (settle, "campaign", "spring-{x}"),
]


def filled(text: Any, expression: str) -> Any:
    if isinstance(text, dict):
        return {name: filled(each, expression) for name, each in text.items()}
    if isinstance(text, list):
        return [filled(each, expression) for each in text]
    return text.replace("{x}", "{{ " + expression + " }}")


@pytest.mark.parametrize(("make", "name", "text"), TEXTS)
def test_none_in_a_text_is_refused_by_name(at_sandbox, ledger, make, name, text):
    run = run_in_dag(make(**{name: filled(text, "before")}), {"before": None})
    name = "op_kwargs" if make is decorated else name
    assert run.state == "failed"
    assert f"Nothing was sent. {name}: was given and is a text with the word 'None' in it now" in str(run.error)
    assert at_sandbox.requests_seen == 0


@pytest.mark.parametrize(("make", "name", "text"), TEXTS)
def test_a_value_in_the_same_place_is_not(at_sandbox, ledger, make, name, text):
    run = run_in_dag(make(**{name: filled(text, "before")}), {"before": "2026"})
    assert "was given and is" not in str(run.error)


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize(
    "expression",
    [
        "x ~ '!'",
        "'%s!' % x",
        "'%s-%s' % (1, x)",
        "'{}!'.format(x)",
        "'{a}!'.format(a=x)",
        "'%s!' | format(x)",
        "'%(a)s!' | format(a=x)",
        "x | upper",
        "[1, x] | join(',')",
        "[1, x] | map('string') | join(',')",
        "[1, x] | map('upper') | join",
        "[{'a': x}] | map(attribute='a') | join",
        "','.join([1, x] | map('string'))",
        "[[x]]",
        "{'a': x}",
        "nan",
        "'None'",
    ],
)
def test_none_is_seen_wherever_a_template_makes_a_text_of_it(at_sandbox, expression, native):
    task = batch(message="Hi {{ " + expression + " }} <link>")
    run = run_in_dag(task, {"x": None, "nan": float("nan")}, render_template_as_native_obj=native)
    assert "Nothing was sent. message: was given and is a text with the word" in str(run.error)
    assert at_sandbox.requests_seen == 0


def test_none_is_seen_in_a_loop_and_in_a_file(at_sandbox, ledger, tmp_path):
    (tmp_path / "who.sql").write_text("SELECT {% for each in some %}{{ each }}, {% endfor %}1")
    run = run_in_dag(transfer(sql="who.sql"), {"some": [1, None]}, template_searchpath=str(tmp_path))
    assert "sql: was given and is a text with the word 'None' in it now" in str(run.error)


def test_an_undefined_name_is_nothing_where_a_dag_allows_it(at_sandbox):
    run = run_in_dag(batch(message="Hi {{ season }} <link>"), template_undefined=jinja2.Undefined)
    assert "message: was given and is a text with nothing for an undefined name in it now" in str(run.error)
    assert at_sandbox.requests_seen == 0


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("None of our shops is open, <link>", "None of our shops is open, <link>"),
        ("None of {{ 'ours' }}, <link>", "None of ours, <link>"),
        ("{{ said }}, <link>", "None of the above, <link>"),
        ("{{ x or 'Hi' }}, <link>", "Hi, <link>"),
        ("{{ x | default('Hi', true) }}, <link>", "Hi, <link>"),
        ("{{ 'x' if x is none else 'y' }}, <link>", "x, <link>"),
        ("{% if x %}{{ x }}{% endif %}Hi, <link>", "Hi, <link>"),
        ("{{ [1, x] | map('default', 0, true) | join(',') }}, <link>", "1,0, <link>"),
        ("{{ '-'.join([1, 2] | map('string')) }} {{ '{a}'.format(a=1) }}, <link>", "1-2 1, <link>"),
        ("{{ 7 % 4 }} {{ 'a-b'.replace('-', '+') }} <link>", "3 a+b <link>"),
    ],
)
def test_the_word_none_may_be_said_and_none_may_be_asked_for(at_sandbox, message, said):
    run = run_in_dag(batch(message=message), {"said": "None of the above", "x": None})
    assert run.succeeded, run.error
    assert [sms.message for sms in at_sandbox.accepted] == [said]


def test_an_if_without_an_else_says_nothing_on_purpose(at_sandbox):
    run = run_in_dag(batch(message="Hi{{ '!' if x }} <link>"), {"x": None}, template_undefined=jinja2.Undefined)
    assert run.succeeded, run.error


def test_what_a_dag_puts_in_the_place_of_none_is_what_it_wants(at_sandbox):
    kwargs = {"finalize": lambda value: "you" if value is None else value}
    run = run_in_dag(batch(message="Hi {{ x }} <link>"), {"x": None}, jinja_environment_kwargs=kwargs)
    assert run.succeeded, run.error
    assert [sms.message for sms in at_sandbox.accepted] == ["Hi you <link>"]


@pytest.mark.parametrize("make", [batch, single])
def test_null_may_be_written_into_a_query(at_sandbox, ledger, make):
    query = {**QUERY, "sql": "SELECT '+41793026700' AS \"to\" WHERE 1 IS NOT {{ 'null' }}"}
    run = run_in_dag(batch(suppression=query))
    assert run.succeeded, run.error


@needs_runner
def test_a_value_of_a_query_that_another_task_has_not_given_is_refused(at_sandbox, ledger):
    from airflow.sdk import BaseOperator

    with DAG("invites", schedule=None, start_date=START):
        other = BaseOperator(task_id="other")
        task = transfer(sql="SELECT 1 WHERE 2 < ?", parameters=[other.output])
    run = run_task(task, upstream={"other": None})
    assert "parameters: was given and is something with None in it now" in str(run.error)
    assert run_task(transfer(sql='SELECT 1 AS "to" WHERE 2 < ?', parameters=[None])).state == "skipped"


def test_a_notifier_says_nothing_of_none(at_sandbox, capfd, caplog):
    caplog.set_level(logging.INFO)
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", try_number=1, map_index=-1)
    dag = DAG("d", schedule=None, start_date=START, user_defined_macros={"x": None})
    OmnichatInviteNotifier(to=NUMBER, message="{{ x }} failed: <link>")({"dag": dag, "ti": ti, "run_id": "r"})
    logged = caplog.text + "".join(capfd.readouterr())
    assert "Nothing was sent. message: was given and is a text with the word 'None' in it now" in logged
    assert at_sandbox.requests_seen == 0
