"""The sensor: from worker to triggerer and back, and how it ends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_omnichat.operators.omnichat import SendInviteOperator
from airflow_provider_omnichat.sensors.omnichat import InviteDeliverySensor
from tests.support.airflow_harness import run_task
from tests.support.batch_tasks import XCom, batch, people
from tests.support.delivery_tasks import counts, run_through, sensor, time_is_up, triggered, woken
from tests.support.example_invite import MESSAGE, NUMBER
from tests.support.patience import PATIENCE_SECONDS


def sent(count: int) -> list[str]:
    answers = [
        run_task(SendInviteOperator(task_id="invite", to=f"+{int(NUMBER) + index}", message=MESSAGE)).xcom
        for index in range(count)
    ]
    return [answer["messageId"] for answer in answers]


@pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "poking"])
def test_it_waits_until_all_are_final_and_counts_them(vendor, deferrable):
    vendor(after=0.6, delivery={"undeliverable": 0.3, "unknown": 0.2})
    ids = sent(12)
    run = run_through(sensor(ids, deferrable=deferrable, poke_interval=0.2))
    assert run.succeeded, run.error
    assert set(counts(run)) == {"delivered", "undeliverable", "unknown"}
    assert sum(counts(run).values()) == 12


def test_what_a_single_invites_task_gives_is_followed_and_its_number_is_not_shown(vendor):
    vendor()
    answer = run_task(SendInviteOperator(task_id="invite", to=f"+{NUMBER}", message=MESSAGE)).xcom["return_value"]
    run = run_through(sensor(XCom(answer)), upstream={"find": answer})
    assert counts(run) == {"delivered": 1}
    assert run.rendered["invites"] == answer["messageId"] if run.rendered else True
    assert NUMBER not in str(run.rendered)


def test_outputs_of_mapped_tasks_are_followed_together(vendor):
    vendor()
    first, second = sent(2)
    run = run_through(sensor([{"messageId": first}, second]))
    assert counts(run) == {"delivered": 2}


def test_a_message_id_as_text(vendor):
    vendor()
    (message_id,) = sent(1)
    assert counts(run_through(sensor(message_id))) == {"delivered": 1}


def test_the_trigger_gets_no_more_ids_than_one_request_takes(vendor):
    sandbox = vendor(after=0.0)
    ids = sent(3) + [f"{number:039d}" for number in range(500)]
    run = run_task(sensor(ids))
    assert run.deferral is not None
    assert len(run.deferral.trigger["message_ids"]) == 51
    assert set(run.deferral.trigger["message_ids"]) <= set(ids)
    assert len(str(run.deferral.trigger)) < 3000
    assert sandbox.totals.requests == 3


def test_a_triggerer_that_is_started_again_begins_again_and_nothing_is_lost(vendor):
    vendor(after=1.0)
    run = run_task(sensor(sent(3)))
    assert run.deferral is not None
    with pytest.raises(TimeoutError):
        triggered(run.deferral, seconds=0.2)
    assert triggered(run.deferral)["reason"] == "final"


def test_what_is_still_pending_after_the_trigger_is_waited_for_until_the_time_is_up(vendor):
    vendor(delivery={"pending": 1.0})
    task = sensor(sent(2))
    first = run_task(task)
    assert first.deferral is not None
    an_hour_later = replace(first.deferral, trigger={**first.deferral.trigger, "wake": "2026-01-01T00:00:00+00:00"})
    again = run_task(task, resume=woken(an_hour_later))
    assert again.state == "deferred"
    assert again.deferral is not None
    assert again.deferral.trigger["until"] == first.deferral.trigger["until"]


# the time is up when it was to be at first


# the time is up


@pytest.mark.parametrize(("on_timeout", "state"), [("fail", "failed"), ("skip", "skipped"), ("succeed", "success")])
@pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "poking"])
def test_what_the_time_out_does(vendor, on_timeout, state, deferrable):
    vendor(delivery={"pending": 1.0})
    timeout = PATIENCE_SECONDS if deferrable else 0.2
    task = sensor(sent(2), on_timeout=on_timeout, deferrable=deferrable, timeout=timeout)
    run = run_task(task)
    if deferrable:
        assert triggered(time_is_up(run.deferral))["reason"] == "time"
        run = run_task(task, resume=woken(time_is_up(run.deferral)))
    assert run.state == state, run.error
    assert counts(run) == {"pending": 2}
    if state == "failed":
        assert "The time is up" in str(run.error)
        assert "2 invites: 2 pending" in str(run.error)


@pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "poking"])
def test_invites_that_are_not_in_the_logs_fail_no_task(vendor, deferrable):
    vendor(delivery={"not-seen": 1.0})
    timeout = PATIENCE_SECONDS if deferrable else 0.2
    task = sensor(sent(2), deferrable=deferrable, timeout=timeout, min_delivered_ratio=1.0)
    run = run_task(task)
    if deferrable:
        run = run_task(task, resume=woken(time_is_up(run.deferral)))
    assert run.succeeded, run.error
    assert counts(run) == {"not_seen": 2}


def test_invites_that_the_logs_do_not_have_yet_are_waited_for(vendor):
    vendor(logs_lag=0.5)
    assert counts(run_through(sensor(sent(2)))) == {"delivered": 2}


# the share


@pytest.mark.parametrize(("least", "state"), [(0.0, "success"), (0.9, "failed")])
def test_the_share_that_must_be_delivered(vendor, least, state):
    vendor(delivery={"undeliverable": 0.5})
    run = run_through(sensor(sent(12), min_delivered_ratio=least))
    assert run.state == state
    assert sum(counts(run).values()) == 12
    if state == "failed":
        assert "less than min_delivered_ratio 0.9" in str(run.error)


def test_an_unknown_end_lowers_no_share(vendor):
    vendor(delivery={"unknown": 0.5})
    run = run_through(sensor(sent(8), min_delivered_ratio=1.0))
    assert run.succeeded, run.error
    assert set(counts(run)) == {"delivered", "unknown"}


# refusals


def test_a_missing_scope_is_named_by_the_worker(vendor):
    vendor(logs_scope=False)
    task = sensor(sent(1))
    run = run_task(task)
    assert triggered(run.deferral)["reason"] == "error"
    run = run_task(task, resume=woken(run.deferral))
    assert run.state == "failed"
    assert "sms:logs:read" in str(run.error)


def test_too_many_requests_are_waited_out(vendor, wire, hook_for):
    from tests.support.wire_server import answer

    row = {"messageId": "a", "status": {"groupId": 3, "id": 5}}
    hook_for(wire(answer(429, {}, "Retry-After: 0"), answer(200, {"results": [row]})))
    assert counts(run_task(sensor("a", deferrable=False))) == {"delivered": 1}


def test_ids_that_cannot_be_asked_for_are_counted(vendor):
    vendor()
    run = run_through(sensor([*sent(1), " ", "a,b"]))
    assert counts(run) == {"delivered": 1, "not_asked": 2}


@pytest.mark.parametrize(
    ("invites", "said"),
    [
        (5, "not a int"),
        ([5], "that is a int"),
        ({"rows": 3}, "without a messageId"),
        ("{'campaign': 'x'}", "a template turns what it is given into text"),
        ({"rows_in": None, "counts": {"accepted": 3}}, "results_path or results_table"),
    ],
)
def test_what_cannot_be_followed_is_refused(vendor, invites, said):
    vendor()
    run = run_task(sensor(invites))
    assert run.state == "failed"
    assert said in str(run.error)


def test_a_batch_that_sent_nothing_has_nothing_to_follow(vendor):
    vendor()
    run = run_task(sensor({"rows_in": None, "counts": {"accepted": 0}}))
    assert run.succeeded, run.error
    assert counts(run) == {}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"campaign": "c"},
        {"invites": "a", "campaign": "c", "ledger_conn_id": "l"},
        {"invites": "a", "ledger_conn_id": "l"},
        {"invites": "a", "on_timeout": "explode"},
        {"invites": "a", "min_delivered_ratio": 2},
    ],
)
def test_arguments_that_cannot_be_are_refused_when_the_dag_is_parsed(given):
    with pytest.raises(ValueError):
        InviteDeliverySensor(task_id="delivery", **given)


def test_airflows_configuration_says_whether_it_defers(monkeypatch):
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", "True")
    assert InviteDeliverySensor(task_id="delivery", invites="a").deferrable
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", "False")
    assert not InviteDeliverySensor(task_id="delivery", invites="a").deferrable


def test_a_batch_whose_rows_only_it_can_read_is_refused(vendor):
    vendor()
    manifest = run_task(batch(people(2))).xcom["return_value"]
    run = run_task(sensor(manifest))
    assert run.state == "failed"
    assert "task state store" in str(run.error)
