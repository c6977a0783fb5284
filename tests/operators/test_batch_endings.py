"""How a batch task ends: green, red, skipped or to be tried again, and what each later try does."""

from __future__ import annotations

import time
import traceback
from collections import Counter
from typing import Any

import pytest

from tests.support.airflow_harness import run_task
from tests.support.airflow_versions import needs_runner, needs_store
from tests.support.batch_tasks import batch, counts, number, people, rows_in
from tests.support.patience import PATIENCE_SECONDS

PROVIDER = "airflow_provider_omnichat"


def causes_in(error: BaseException | None) -> list[str]:
    return [line.strip() for line in str(error).splitlines() if line.startswith("  ")]


@needs_store
def test_what_was_not_sent_is_an_error_that_airflow_retries_and_the_retry_sends_only_those(at_sandbox, tmp_path):
    at_sandbox.script(*["ok"] * 50, "401")
    store: dict[str, Any] = {}
    given = {"results_path": str(tmp_path), "retries": 1, "concurrency": 1}
    first = run_task(batch(people(120), **given), store=store, retries=1)
    assert first.state == "up_for_retry"
    assert counts(first) == {"accepted": 50, "not_sent": 70}
    why, what_next, *_ = str(first.error).splitlines()
    assert why.startswith("Sending was stopped: The invite was not sent: HTTP 401 ")
    assert "login, key or token is wrong" in why
    assert what_next == "70 invites were certainly not sent; another try sends only those."
    assert str(first.error).count("HTTP 401") == 1, "one cause once"
    assert causes_in(first.error) == [
        "not sent: sending stopped 69 (row 52, row 53, row 54, row 55, row 56, ...)",
        "not sent: http account refused 1 (row 51)",
    ]
    assert first.error is not None
    frames = [frame.name for frame in traceback.extract_tb(first.error.__traceback__) if PROVIDER in frame.filename]
    assert set(frames) <= {"execute", "_run"}, "where it is raised on, and nothing from the depth"
    before = {row.position: row.message_id for row in rows_in(tmp_path) if row.message_id}
    at_sandbox.clear_faults()

    second = run_task(batch(people(120), **given), store=store, retries=1, try_number=2)
    assert second.succeeded, second.error
    assert counts(second) == {"accepted": 120}
    assert second.xcom["return_value"]["sent_this_try"] == 70
    assert at_sandbox.requests_seen == 121
    rows = rows_in(tmp_path)
    assert [row.position for row in rows] == list(range(1, 121))
    assert {row.position: row.message_id for row in rows}.items() >= before.items()
    assert {row.to: row.message_id for row in rows} == {sms.to: sms.message_id for sms in at_sandbox.accepted}


@needs_store
@pytest.mark.parametrize("fault", ["drop-after", "500-after", "503", "truncated", "garbage-200", "unknown-status"])
def test_only_doubts_left_fails_without_a_retry_and_a_later_try_holds_them(at_sandbox, fault):
    at_sandbox.script("ok", "ok", fault)
    store: dict[str, Any] = {}
    first = run_task(batch(people(20), retries=3), store=store, retries=3)
    assert first.state == "failed"
    assert counts(first) == {"accepted": 19, "unknown": 1}
    assert "on_unknown='resend'" in str(first.error)
    again = run_task(batch(people(20), retries=3), store=store, retries=3, try_number=2)
    assert (again.state, counts(again)) == ("failed", {"accepted": 19, "unknown": 1})
    assert at_sandbox.requests_seen == 20


@needs_store
def test_on_unknown_resend_sends_the_doubts_and_nothing_else(at_sandbox):
    at_sandbox.script("drop-before", "rejected:52", "ok")
    store: dict[str, Any] = {}
    run_task(batch(people(20)), store=store)
    for _ in range(2):
        again = run_task(batch(people(20), on_unknown="resend", max_rejected_ratio=0.5), store=store, try_number=2)
        assert again.succeeded, again.error
        assert counts(again) == {"accepted": 19, "rejected": 1}
    assert at_sandbox.requests_seen == 21
    assert len(at_sandbox.accepted) == 19


@needs_store
@pytest.mark.parametrize("fault", ["429", "401"])
def test_a_doubt_that_could_not_be_sent_again_is_retried_by_airflow_and_held_by_who_holds(at_sandbox, tmp_path, fault):
    at_sandbox.script("drop-before")
    store: dict[str, Any] = {}
    given = {"results_path": str(tmp_path), "retries": 3, "concurrency": 1, "retry_budget": 0}
    run_task(batch(people(3), **given), store=store, retries=3)
    at_sandbox.script(fault)
    second = run_task(batch(people(3), on_unknown="resend", **given), store=store, retries=3, try_number=2)
    assert second.state == "up_for_retry"
    assert counts(second) == {"accepted": 2, "unknown": 1}
    why, what_next, *_ = str(second.error).splitlines()
    assert why.startswith("Sending was stopped: ")
    assert what_next == (
        "1 invites that an earlier try may have sent were to be sent again and were not; they stay in doubt, and"
        " another try with on_unknown='resend' sends them."
    )
    (row,) = [row for row in rows_in(tmp_path) if row.outcome == "unknown"]
    assert f"It was to be sent again and was not: The invite was not sent: HTTP {fault}" in str(row.error)
    third = run_task(batch(people(3), **given), store=store, retries=3, try_number=3)
    assert (third.state, counts(third)) == ("failed", {"accepted": 2, "unknown": 1})
    assert at_sandbox.requests_seen == 4
    last = run_task(batch(people(3), on_unknown="resend", **given), store=store, retries=3, try_number=4)
    assert (last.state, counts(last)) == ("success", {"accepted": 3})


@needs_store
def test_the_error_tells_apart_what_was_certainly_not_sent_and_what_stays_in_doubt(at_sandbox):
    at_sandbox.script("drop-before", "401")
    store: dict[str, Any] = {}
    given = {"retries": 3, "concurrency": 1}
    first = run_task(batch(people(5), **given), store=store, retries=3)
    assert counts(first) == {"unknown": 1, "not_sent": 4}
    at_sandbox.script("401")
    second = run_task(batch(people(5), on_unknown="resend", **given), store=store, retries=3, try_number=2)
    assert (second.state, counts(second)) == ("up_for_retry", {"unknown": 1, "not_sent": 4})
    _, first_kind, second_kind, *_ = str(second.error).splitlines()
    assert first_kind == "4 invites were certainly not sent; another try sends those."
    assert second_kind.startswith("1 invites that an earlier try may have sent")


@needs_store
def test_a_resend_key_sends_to_all_once_more_and_only_once(at_sandbox, tmp_path):
    store: dict[str, Any] = {}
    for cleared, key in enumerate(("", "again", "again", "", "again")):
        run = run_task(batch(people(10), resend_key=key, results_path=str(tmp_path)), store=store, retries=cleared)
        assert counts(run) == {"accepted": 10}
    assert Counter(sms.to for sms in at_sandbox.accepted) == {number(i): 2 for i in range(10)}


@needs_store
@pytest.mark.parametrize(("ratio", "state"), [(0.29, "failed"), (0.3, "success"), (1.0, "success"), (0.0, "failed")])
def test_too_many_rejected_fails_without_a_retry(at_sandbox, ratio, state):
    at_sandbox.script(*["rejected:52"] * 3)
    given = batch([*people(10), {"to": "x"}], max_rejected_ratio=ratio, retries=2, concurrency=1)
    run = run_task(given, retries=2)
    assert run.state == state
    assert counts(run) == {"accepted": 7, "rejected": 3, "invalid": 1}
    if state == "failed":
        assert "rejected 3 of 10 invites, more than max_rejected_ratio" in str(run.error)
        (cause,) = causes_in(run.error)
        assert cause.startswith("rejected: REJECTED_DESTINATION 3 (row 1, row 2, row 3): The vendor rejected")


@needs_store
def test_a_list_of_which_no_row_can_be_sent_fails_without_a_retry(at_sandbox):
    run = run_task(batch([{"to": f"P{i}", "name": f"+{number(i)}"} for i in range(30)], retries=2), retries=2)
    assert run.state == "failed"
    assert counts(run) == {"invalid": 30}
    assert "is it the right list, and the right column?" in str(run.error)
    assert "has letters in it" in str(run.error)
    assert at_sandbox.requests_seen == 0


@pytest.mark.parametrize(("on_empty", "state"), [("skip", "skipped"), ("succeed", "success"), ("fail", "failed")])
@needs_store
def test_an_empty_list_does_what_on_empty_says(at_sandbox, on_empty, state):
    run = run_task(batch([], on_empty=on_empty, retries=2), retries=2)
    assert run.state == state
    assert counts(run) == {}


@needs_store
@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("401", "login, key or token"),
        ("403", "lack a scope"),
        ("404", "application key is wrong"),
        ("redirect", "redirects are not followed"),
    ],
)
def test_what_every_invite_would_meet_stops_the_sending_at_once(at_sandbox, fault, told):
    at_sandbox.set_faults([fault])
    run = run_task(batch(people(500), retries=1), retries=1)
    assert run.state == "up_for_retry"
    assert told in str(run.error)
    assert counts(run) == {"not_sent": 500}
    assert at_sandbox.requests_seen <= 4


@needs_store
def test_no_credit_stops_the_sending_at_once(at_sandbox):
    at_sandbox.script(*["ok"] * 10)
    at_sandbox.set_faults(["rejected:1:12"])
    run = run_task(batch(people(500), retries=1), retries=1)
    assert run.state == "up_for_retry"
    found = counts(run)
    assert (found["accepted"], sum(found.values())) == (10, 500)
    assert found["rejected"] <= 4
    assert at_sandbox.requests_seen <= 14


@needs_store
def test_twenty_doubts_in_a_row_stop_the_sending(at_sandbox):
    at_sandbox.set_faults(["500-after"])
    store: dict[str, Any] = {}
    run = run_task(batch(people(500), retries=1), store=store, retries=1)
    assert run.state == "up_for_retry"
    found = counts(run)
    assert 20 <= found["unknown"] <= 24
    assert found["unknown"] + found["not_sent"] == 500
    assert "in a row are in doubt" in str(run.error)
    at_sandbox.clear_faults()
    again = run_task(batch(people(500), retries=1), store=store, retries=1, try_number=2)
    assert (again.state, counts(again)) == ("failed", {"unknown": found["unknown"], "accepted": found["not_sent"]})


@needs_store
@pytest.mark.parametrize(("budget", "why"), [(1.0, "nothing was accepted for 1 s;"), (0, "retry_budget is 0;")])
def test_an_outage_ends_after_the_retry_budget_with_all_as_not_sent(hook_for, sandbox, budget, why):
    hook = hook_for(sandbox)
    sandbox.stop()
    store: dict[str, Any] = {}
    run = run_task(batch(people(50), retry_budget=budget, retries=1), store=store, retries=1)
    assert run.state == "up_for_retry"
    assert counts(run) == {"not_sent": 50}
    assert why in str(run.error)
    assert hook is not None


@needs_store
@pytest.mark.parametrize("after", ["60000", "999999"])
def test_a_retry_after_beyond_the_retry_budget_ends_the_try_instead_of_holding_the_worker(at_sandbox, after):
    at_sandbox.script("ok", f"429-retry-after:{after}")
    run = run_task(batch(people(10), concurrency=1, retry_budget=2.0, retries=1), retries=1)
    assert run.state == "up_for_retry"
    assert counts(run) == {"accepted": 1, "not_sent": 9}
    assert "asks to wait" in str(run.error)


@needs_runner
def test_a_short_retry_after_is_waited_for_and_nothing_is_lost(at_sandbox):
    at_sandbox.script("ok", "429-retry-after:0.3", "503-retry-after:0.3")
    begin = time.monotonic()
    run = run_task(batch(people(4), concurrency=1, retry_budget=PATIENCE_SECONDS))
    assert time.monotonic() - begin >= 0.3  # two refused invites, each waiting for itself
    assert counts(run) == {"accepted": 4}
    assert len(at_sandbox.accepted) == 4


@needs_store
@pytest.mark.parametrize(("allowed", "state"), [(0.0, "failed"), (0.04, "failed"), (0.05, "success"), (1, "success")])
def test_few_doubts_are_green_where_somebody_allows_for_them_and_are_listed_first(at_sandbox, allowed, state):
    from airflow.providers.common.compat.sdk import Asset

    at_sandbox.script("ok", "drop-after", "rejected:52")
    given = {"max_unknown_ratio": allowed, "max_rejected_ratio": 0.5, "outlets": [Asset("invites_sent")]}
    store: dict[str, Any] = {}
    run = run_task(batch(people(20), **given), store=store)
    assert run.state == state, run.error
    assert next(iter(run.xcom["return_value"]["counts"].items())) == ("unknown", 1)
    if state == "success":
        assert next(iter(run.outlet_events[0]["extra"]["counts"].items())) == ("unknown", 1)
    else:
        assert "1 invites may have been sent, or not" in str(run.error)
        assert (f"more than max_unknown_ratio {allowed:g} of 20" in str(run.error)) is bool(allowed)
    again = run_task(batch(people(20), **given), store=store, try_number=2)  # and they stay in doubt
    assert (again.state, counts(again)) == (state, {"unknown": 1, "accepted": 18, "rejected": 1})
    assert at_sandbox.requests_seen == 20


def test_green_with_doubts_names_them_in_the_log(at_sandbox, capfd):
    at_sandbox.script("ok", "drop-after")
    run = run_task(batch(people(20), max_unknown_ratio=0.1))
    assert run.succeeded, run.error
    assert "1 of 20 invites may have been sent, or not, as max_unknown_ratio allows" in "".join(capfd.readouterr())


@pytest.mark.parametrize("wrong", [-0.1, 1.1, "0.1", True, None])
def test_a_ratio_is_a_part(wrong):
    with pytest.raises(ValueError, match="max_unknown_ratio must be between 0 and 1"):
        batch(people(1), max_unknown_ratio=wrong)
