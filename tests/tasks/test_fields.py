"""The table of arguments: what a user's subclass adds to it, and what Airflow keeps of those that are objects."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any, ClassVar

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_omnichat.decorators.omnichat_invite import omnichat_invite_task
from airflow_provider_omnichat.notifications.omnichat import OmnichatInviteNotifier
from airflow_provider_omnichat.operators.omnichat import (
    Budget,
    SendInviteBatchOperator,
    SendInviteOperator,
    SendWindow,
    SettleInvitesOperator,
)
from airflow_provider_omnichat.sensors.omnichat import InviteDeliverySensor
from airflow_provider_omnichat.tasks.fields import Field, Kind, table
from airflow_provider_omnichat.transfers.sql_to_omnichat import SqlToOmnichatInviteOperator
from tests.support.airflow_harness import START, TaskRun, run_task

NUMBER = "+41793026727"
MESSAGE = "Hi <link>"


def run_in_dag(task: Any, values: dict[str, Any] | None = None, **dag: Any) -> TaskRun:
    """Run in a DAG whose templates know *values*."""
    task.dag = DAG("in_dag", schedule=None, start_date=START, user_defined_macros=values, **dag)
    return run_task(task)


# the table


@pytest.mark.parametrize(
    "kind",
    [
        SendInviteOperator,
        SendInviteBatchOperator,
        SqlToOmnichatInviteOperator,
        SettleInvitesOperator,
        InviteDeliverySensor,
        OmnichatInviteNotifier,
    ],
)
def test_each_templated_argument_is_in_the_table_once_and_set_under_its_name(kind):
    assert list(kind.template_fields) == [name for name, field in kind.argument_fields.items() if field.templated]
    given: dict[str, Any] = {
        "invites": [{"to": NUMBER}],
        "to": NUMBER,
        "message": MESSAGE,
        "sql": "SELECT 1",
        "conn_id": "ledger",
        "campaign": "spring",
        "ledger_conn_id": "ledger",
    }
    if kind is InviteDeliverySensor:
        del given["campaign"], given["ledger_conn_id"]
    taken = {name: value for name, value in given.items() if name in kind.template_fields}
    task = kind(**({} if kind is OmnichatInviteNotifier else {"task_id": "t"}), **taken)
    assert {name: getattr(task, name) for name in taken} == taken
    assert all(hasattr(task, name) for name in kind.argument_fields)


# a user's own subclass


class Filtered(SendInviteBatchOperator):
    """A user's operator with templated fields of its own, one of them under a name that tables like."""

    template_fields = (*SendInviteBatchOperator.template_fields, "filters", "ratio", "fields")
    seen: ClassVar[list[Any]] = []

    def __init__(self, *, filters: Any = None, ratio: Any = None, fields: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters, self.ratio, self.fields = filters, ratio, fields

    def execute(self, context: Any) -> Any:
        self.seen.append((self.filters, self.ratio, self.resend_key))
        return super().execute(context)


def filtered(**given: Any) -> Any:
    return Filtered(task_id="invite", message=MESSAGE, invites=[{"to": NUMBER}], retry_budget=0, **given)


@pytest.mark.parametrize(
    "given",
    [
        {"filters": {"a": [1, None]}, "ratio": 0.5, "fields": ["x"]},
        {"filters": "{{ none }}", "ratio": None, "fields": "None"},
        {"filters": "a-{{ none }}", "ratio": True, "fields": ""},
        {"filters": ["{{ none }}"], "ratio": float("nan"), "fields": "{{ x }}"},
    ],
)
def test_fields_that_a_subclass_adds_may_be_anything(at_sandbox, given):
    run = run_in_dag(filtered(**given), {"x": None})
    assert run.succeeded, run.error
    assert Filtered.seen[-1][1] is given["ratio"]
    assert len(at_sandbox.accepted) == 1


def test_fields_that_a_subclass_adds_are_rendered_as_airflow_renders_them(at_sandbox):
    task = filtered(filters="{{ [1, 2] }}", ratio="0.{{ 5 }}", resend_key="1_{{ 0 }}00")
    run = run_in_dag(task, render_template_as_native_obj=True)
    assert run.succeeded, run.error
    assert Filtered.seen[-1] == ([1, 2], 0.5, "1_000")


def test_arguments_of_the_provider_are_checked_and_hidden_in_a_subclass_too(at_sandbox):
    run = run_in_dag(filtered(default_region="{{ none }}"))
    assert "default_region: was given and is the word 'None' now" in str(run.error)
    assert run.rendered["invites"] == "<list of 1 rows>"


class Noted(SendInviteBatchOperator):
    """A user's operator that treats an argument as the provider treats its own."""

    argument_fields: ClassVar = {
        **SendInviteBatchOperator.argument_fields,
        **table(Field("note", Kind.TEXT, shown=lambda value: f"<{len(value)} characters>")),
    }
    template_fields = (*SendInviteBatchOperator.template_fields, "note")

    def __init__(self, *, note: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.note = note


def test_a_subclass_may_add_a_field_to_the_table(at_sandbox):
    given: dict[str, Any] = {"task_id": "invite", "message": MESSAGE, "invites": [{"to": NUMBER}]}
    run = run_in_dag(Noted(note="of {{ x }}", **given), {"x": "Ada"})
    assert run.succeeded, run.error
    assert run.rendered["note"] == "<6 characters>"
    run = run_in_dag(Noted(note="of {{ x }}", **given), {"x": None})
    assert "note: was given and is a text with the word 'None' in it now" in str(run.error)


# objects as arguments

OBJECTS: dict[str, Any] = {
    "send_window": SendWindow("09:00", "20:00", days={"mon", "tue", "sun"}, zone_column="zone", on_closed="skip"),
    "budget": Budget(max_invites=9, price_per_segment=0.05, max_cost=1, currency="EUR"),
}


def make_dag() -> Any:
    """A DAG whose tasks are given objects in each way that Airflow has."""
    list_of = [{"to": NUMBER, "zone": "+00:00"}]
    with DAG("objects", schedule=None, start_date=START, default_args={"send_window": OBJECTS["send_window"]}) as dag:
        SendInviteBatchOperator(task_id="plain", invites=list_of, message=MESSAGE, **OBJECTS)
        partial = SendInviteBatchOperator.partial(task_id="mapped", message=MESSAGE, ledger_conn_id="ledger", **OBJECTS)
        partial.expand(invites=[list_of])
        one = {"invites": list_of, **OBJECTS}
        SendInviteBatchOperator.partial(task_id="expanded", message=MESSAGE).expand_kwargs([one])
        decorated: Any = omnichat_invite_task(lambda: list_of, message=MESSAGE, task_id="decorated", **OBJECTS)
        decorated()
    return dag


def serialized(dag: Any) -> dict[str, Any]:
    """What Airflow keeps of a DAG; read once, as the scheduler does."""
    serialization: Any = pytest.importorskip("airflow.serialization.serialized_objects")
    kind = getattr(serialization, "DagSerialization", None) or serialization.SerializedDAG  # before 3.2
    found: dict[str, Any] = kind.to_dict(dag)
    kind.from_dict(json.loads(json.dumps(found)))
    return found


def test_a_dag_with_objects_is_serialized_alike_in_each_parse():
    found = serialized(make_dag())
    assert found == serialized(make_dag())
    assert "0x" not in json.dumps(found)  # an address would make a new version of the DAG at each parse


@pytest.mark.parametrize("task_id", ["plain", "decorated"])
def test_a_task_has_its_objects_and_shows_none_of_them(at_sandbox, task_id):
    task = deepcopy(make_dag().get_task(task_id))
    assert (task.send_window, task.budget) == (OBJECTS["send_window"], OBJECTS["budget"])
    run = run_task(task)
    assert run.state in ("success", "skipped"), run.error
    assert not {"send_window", "budget"} & run.rendered.keys()


def test_a_mapped_task_has_its_objects():
    dag = make_dag()
    for task_id, resolved in (("mapped", {"invites": []}), ("expanded", {"invites": [], **OBJECTS})):
        task: Any = dag.get_task(task_id)
        made = task.unmap(resolved)
        assert (made.send_window, made.budget) == (OBJECTS["send_window"], OBJECTS["budget"])


def test_a_pair_of_times_is_a_window():
    task = SendInviteBatchOperator(task_id="t", invites=[], send_window=("09:00", "20:00"))
    assert task.send_window == SendWindow("09:00", "20:00")
