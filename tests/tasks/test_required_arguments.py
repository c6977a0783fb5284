"""Arguments that arrive as something else than was meant: the word None, native objects, and what is no text."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

from airflow_provider_omnichat.operators.omnichat import SendInviteBatchOperator, SendInviteOperator
from airflow_provider_omnichat.transfers.sql_to_omnichat import SqlToOmnichatInviteOperator
from tests.support.airflow_harness import START, TaskRun, run_task
from tests.support.airflow_versions import AIRFLOW, needs_runner

MESSAGE = "Hi <link>"
NUMBER = "+41793026727"


def batch(**given: Any) -> SendInviteBatchOperator:
    fields = {"task_id": "invite", "message": MESSAGE, "invites": [{"to": NUMBER}], "retry_budget": 0, **given}
    return SendInviteBatchOperator(**fields)


def single(**given: Any) -> SendInviteOperator:
    return SendInviteOperator(**{"task_id": "invite", "to": NUMBER, "message": MESSAGE, "retry_budget": 0, **given})


def transfer(**given: Any) -> SqlToOmnichatInviteOperator:
    fields = {"task_id": "invite", "sql": "SELECT 1", "conn_id": "ledger", "message": MESSAGE, **given}
    return SqlToOmnichatInviteOperator(**fields)


# the word None


WORDS = ["None", " none ", "NULL", "nan", "NaT", "<NA>", "undefined"]
EVERY = [
    *((batch, name) for name in SendInviteBatchOperator.template_fields if name != "partition"),
    *((single, name) for name in SendInviteOperator.template_fields),
    *((transfer, name) for name in ("sql", "conn_id", "results_table")),
]


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(("make", "name"), EVERY, ids=lambda given: getattr(given, "__name__", given))
def test_the_word_none_is_nobodys_value_for_any_argument(at_sandbox, ledger, make, name, word):
    given = {name: "{{ params.get('said', '" + word + "') }}"}
    run = run_task(make(**{**(ledger if name != "ledger_conn_id" else {}), **given}))
    assert run.state == "failed"
    assert f"Nothing was sent. {name}: was given and is the word {word.strip()!r} now" in str(run.error)
    assert at_sandbox.requests_seen == 0


@pytest.mark.parametrize("name", ["campaign", "results_path", "default_region", "resend_key", "approved"])
def test_the_word_none_is_refused_also_where_it_is_written_down(at_sandbox, ledger, name):
    run = run_task(batch(**{**ledger, name: "None"}))
    assert f"{name}: was given and is the word 'None' now" in str(run.error)
    assert at_sandbox.requests_seen == 0


def test_a_query_of_opt_outs_whose_connection_is_the_word_none_is_refused(at_sandbox):
    run = run_task(batch(suppression={"conn_id": "{{ None }}", "sql": "SELECT phone FROM opt_outs"}))
    assert "suppression: was given and is the word 'None' in 'conn_id' now" in str(run.error)
    assert at_sandbox.requests_seen == 0


@pytest.mark.parametrize("text", ["{{ none }}-2026", "spring_{{ none }}", "a/{{ none }}/b"])
@pytest.mark.parametrize("name", ["campaign", "resend_key", "results_path"])
def test_a_name_that_a_template_has_put_none_into_is_refused(at_sandbox, ledger, name, text):
    run = run_task(batch(**{**ledger, name: text}))
    assert f"{name}: was given and is a text with the word 'None' in it now" in str(run.error)
    assert at_sandbox.requests_seen == 0


@pytest.mark.parametrize("word", ["null", "nan", "NaT"])
def test_other_words_for_nothing_in_a_name_are_refused_too(at_sandbox, ledger, word):
    run = run_task(batch(campaign="spring-{{ '" + word[:1] + "' ~ '" + word[1:] + "' }}", **ledger))
    assert f"campaign: was given and is a text with the word {word!r} in it now" in str(run.error)
    assert at_sandbox.requests_seen == 0


def test_a_query_of_opt_outs_that_a_template_has_put_none_into_is_refused(at_sandbox):
    query = {"conn_id": "db", "sql": "SELECT phone FROM opt_outs WHERE at IS NOT null AND brand = '{{ none }}'"}
    run = run_task(batch(suppression=query))
    assert "suppression: was given and is a text with the word 'None' in it now" in str(run.error)
    assert at_sandbox.requests_seen == 0


def test_a_path_of_a_list_that_a_template_has_put_none_into_is_refused(at_sandbox):
    run = run_task(batch(invites="/data/{{ none }}/list.csv", retries=0))
    assert "invites: was given and is a text with the word 'None' in it now" in str(run.error)


@needs_runner
def test_a_column_that_a_mapped_task_is_expanded_to_is_given(at_sandbox):
    from airflow.sdk import DAG

    rows = [{"to": "06 12 34 56 78", "country": "FR"}]
    with DAG("invites", schedule=None):
        task = SendInviteBatchOperator.partial(
            task_id="invite", message=MESSAGE, default_region="CH", retry_budget=0
        ).expand_kwargs([{"invites": rows, "region_column": None}])
    run = run_task(task, map_index=0)
    assert "Nothing was sent. region_column: was given and is None now" in str(run.error)
    assert at_sandbox.requests_seen == 0


@pytest.mark.parametrize(("region", "hint"), [("UK", "; the United Kingdom is GB"), ("Schweiz", ""), ("XX", "")])
def test_a_default_region_that_is_no_country_is_refused_before_the_first_send(at_sandbox, region, hint):
    run = run_task(batch(default_region=region))
    assert f"Nothing was sent. default_region: is not a country; write two letters such as CH{hint}" in str(run.error)
    assert at_sandbox.requests_seen == 0


def test_a_campaign_that_is_a_number_does_not_show(at_sandbox):
    run = run_task(batch(campaign="w-41793026727"))
    assert "Nothing was sent. campaign=" in str(run.error)
    assert "41793026727" not in str(run.error)


def test_a_name_that_somebody_has_given_with_none_in_it_is_that_name(at_sandbox, ledger):
    assert run_task(batch(campaign="None-of-them-{{ 1 }}", **ledger)).succeeded
    assert run_task(batch(task_id="b", campaign="Nonesuch-{{ 'Nonesuch' }}", **ledger)).succeeded


def test_namibia_and_texts_with_such_words_in_them_are_what_they_are(at_sandbox, ledger):
    named = batch(invites=[{"to": "081 123 4567"}], default_region="NA", campaign="none-of-the-others", **ledger)
    assert run_task(named).succeeded
    assert [sms.to for sms in at_sandbox.accepted] == ["264811234567"]


# native rendering


@pytest.fixture
def in_native_dag():
    """Puts a task into a DAG that renders to native objects; ``{{ given }}`` is what is given."""
    from airflow.providers.common.compat.sdk import DAG

    def put(task: Any, given: Any = None) -> Any:
        macros = {"given": given}
        task.dag = DAG(
            "invites", schedule=None, start_date=START, render_template_as_native_obj=True, user_defined_macros=macros
        )
        return task

    return put


def accepted(run: TaskRun) -> Any:
    assert run.succeeded, run.error
    return run.xcom["return_value"]


@pytest.mark.parametrize("campaign", ["2026", "007", "1_000", "1e5", "True", "[1]", "2026-01-01", "0x10"])
def test_a_text_that_looks_like_python_is_the_text_that_was_written(at_sandbox, ledger, in_native_dag, campaign):
    manifest = accepted(run_task(in_native_dag(batch(campaign=campaign, resend_key="2", **ledger))))
    assert manifest["campaign"] == f"{campaign}#2"


@pytest.mark.parametrize("make", [single, lambda to, **given: batch(invites=[{"to": to}], **given)])
def test_a_number_keeps_its_plus(at_sandbox, in_native_dag, make):
    # Without it, this is a mobile number of Germany.
    run = run_task(in_native_dag(make(to="+15123456789", default_region="DE")))
    assert run.succeeded, run.error
    assert [sms.to for sms in at_sandbox.accepted] == ["15123456789"]


def test_an_opt_out_keeps_its_plus(at_sandbox, in_native_dag):
    rows = [{"to": "+1 512 345 6789"}]
    run = run_task(in_native_dag(batch(invites=rows, suppression=["+15123456789"], default_region="DE")))
    assert accepted(run)["counts"]["suppressed"] == 1
    assert at_sandbox.requests_seen == 0


def test_an_object_stays_an_object(at_sandbox, in_native_dag):
    rows = [{"to": "+41793026727"}, {"to": "+41793026728"}]
    given = {"rows": rows, "part": (0, 1)}
    run = run_task(in_native_dag(batch(invites="{{ given.rows }}", partition="{{ given.part }}"), given))
    assert accepted(run)["counts"]["accepted"] == 2


@pytest.mark.parametrize("name", ["campaign", "resend_key", "ledger_table"])
def test_a_whole_number_is_a_text_where_a_text_is_meant(at_sandbox, ledger, in_native_dag, name):
    given = {"campaign": 2026, "resend_key": numpy.int64(2), "ledger_table": "t"}[name]
    manifest = accepted(run_task(in_native_dag(batch(**{**ledger, name: "{{ given }}"}), given)))
    assert name != "campaign" or manifest["campaign"] == "2026"
    assert name != "resend_key" or manifest["campaign"].endswith("#2")


def test_a_constant_whole_number_is_a_text(at_sandbox, ledger):
    assert accepted(run_task(batch(campaign=2026, **ledger)))["campaign"] == "2026"


@pytest.mark.parametrize(("value", "kind"), [(1.5, "float"), (True, "bool"), ([1], "list"), ({"a": 1}, "dict")])
@pytest.mark.parametrize("name", ["campaign", "resend_key", "default_region", "results_path", "ledger_table"])
def test_what_is_no_text_is_refused_by_name(at_sandbox, ledger, in_native_dag, name, value, kind):
    run = run_task(in_native_dag(batch(**{**ledger, name: "{{ given }}"}), value))
    assert run.state == "failed"
    assert f"Nothing was sent. {name}: must be a text, is a {kind}" in str(run.error)
    assert at_sandbox.requests_seen == 0


@pytest.mark.parametrize(
    ("template", "now"),
    [("given", "None"), ("not_there", "empty"), ("'None'", "the word 'None'"), ("none", "the word 'None'")],
)
def test_a_native_nothing_is_nothing(at_sandbox, ledger, in_native_dag, template, now):
    run = run_task(in_native_dag(batch(campaign="{{ " + template + " }}", **ledger)))
    if template == "not_there" and (3, 0) <= AIRFLOW < (3, 2):  # which refuses it itself
        assert str(run.error) == "'not_there' is undefined"
    else:
        assert f"Nothing was sent. campaign: was given and is {now} now" in str(run.error)
    assert run.state == "failed"
    assert at_sandbox.requests_seen == 0


@needs_runner
def test_a_mapped_task_renders_alike(at_sandbox, ledger):
    from airflow.sdk import DAG

    with DAG("invites", schedule=None, render_template_as_native_obj=True):
        task = SendInviteOperator.partial(
            task_id="invite", message=MESSAGE, default_region="DE", **ledger
        ).expand_kwargs([{"to": "+15123456789", "campaign": "2026"}])
    run = run_task(task, map_index=0)
    assert run.succeeded, run.error
    assert [sms.to for sms in at_sandbox.accepted] == ["15123456789"]


# when the DAG file is parsed


@pytest.mark.parametrize("value", [True, False, 1.5])
@pytest.mark.parametrize("make", [batch, single])
@pytest.mark.parametrize("name", ["campaign", "resend_key", "default_region", "message"])
def test_a_constant_that_is_no_text_is_told_when_the_dag_is_parsed(make, name, value):
    with pytest.raises(ValueError, match=f"{name} must be a text, not {value}"):
        make(**{name: value})


@pytest.mark.parametrize("make", [batch, single, transfer])
def test_a_number_of_seconds_is_no_bool_and_not_nan(make):
    for value in (True, float("nan"), "5"):
        with pytest.raises(ValueError, match="retry_budget must be a number of seconds"):
            make(retry_budget=value)


@pytest.mark.parametrize(
    "given",
    [
        {"rate_limit": True},
        {"rate_limit": float("nan")},
        {"rate_limit": "5"},
        {"concurrency": True},
        {"concurrency": 2.5},
        {"max_rejected_ratio": True},
        {"max_rejected_ratio": float("nan")},
    ],
    ids=str,
)
def test_a_limit_that_is_no_number_is_told_when_the_dag_is_parsed(given):
    with pytest.raises(ValueError, match=next(iter(given))):
        batch(**given)
