"""A list of invites from one task: through the real operator, Airflow's task runner and a real server."""

from __future__ import annotations

import csv
import json
import math
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.campaign.model.rows import Result
from airflow_provider_omnichat.campaign.results.files import read_results
from airflow_provider_omnichat.operators.omnichat import SendInviteBatchOperator
from tests.support.airflow_harness import AIRFLOW, HAS_STATE_STORE, TaskRun, run_task

MESSAGE = "Hello {name}, follow us at <link>"

needs_store = pytest.mark.skipif(not HAS_STATE_STORE, reason="Airflow has a task state store from 3.3 on")
needs_runner = pytest.mark.skipif(AIRFLOW < (3, 0), reason="Airflow 2 has no task runner of its own")


def number(index: int) -> str:
    return f"4179{2_000_000 + index}"


def people(count: int, **fields: Any) -> list[dict[str, Any]]:
    return [{"to": f"+{number(i)}", "name": f"P{i}", "id": f"c{i}", **fields} for i in range(count)]


def batch(invites: Any, **given: Any) -> SendInviteBatchOperator:
    fields = {"task_id": "invite", "message": MESSAGE, "retry_budget": 1.0, "concurrency": 4, **given}
    return SendInviteBatchOperator(invites=invites, **fields)


def counts(run: TaskRun) -> dict[str, int]:
    """The counts that are not zero; checked to add up to the rows."""
    manifest = run.xcom["return_value"]
    assert sum(manifest["counts"].values()) == manifest["rows"]
    return {outcome: count for outcome, count in manifest["counts"].items() if count}


def rows_in(folder: Path) -> list[Result]:
    """The result rows below a folder, in the order of the list."""
    (home,) = {file.parent for file in folder.rglob("*.jsonl")} | {file.parent for file in folder.rglob("*.csv")}
    return sorted(read_results(home), key=lambda row: row.position)


# the manifest


def test_each_row_is_sent_once_and_the_manifest_tells_it(at_sandbox):
    run = run_task(batch(people(300)))
    assert run.succeeded, run.error
    manifest = run.xcom["return_value"]
    assert set(manifest) == {
        *("campaign", "rows", "missing", "counts", "results", "segments", "sent_this_try", "started_at", "finished_at")
    }
    assert manifest["campaign"] == "invites/run-1/invite"
    assert manifest["rows"] == manifest["sent_this_try"] == manifest["segments"] == 300
    assert manifest["results"] is None
    assert set(manifest["counts"]) == {
        *("accepted", "rejected", "not_sent", "unknown", "invalid", "duplicate", "suppressed", "held")
    }
    assert counts(run) == {"accepted": 300}
    assert sorted(sms.to for sms in at_sandbox.accepted) == [number(i) for i in range(300)]
    assert {sms.message for sms in at_sandbox.accepted} == {f"Hello P{i}, follow us at <link>" for i in range(300)}


@needs_runner
def test_a_row_may_have_its_own_message_and_placeholder_and_they_are_not_evaluated(at_sandbox):
    own = {"to": f"+{number(0)}", "message": "{name} {{ ds }} %s ##", "link_placeholder": "##"}
    plain = {"to": f"+{number(1)}", "name": "{name} {{ ds }}"}
    run = run_task(batch(XCom([own, plain]), message="Hi {name} at <link>"), upstream={"find": [own, plain]})
    assert run.succeeded, run.error
    texts = {sms.to: sms.message for sms in at_sandbox.accepted}
    assert texts == {number(0): "{name} {{ ds }} %s ##", number(1): "Hi {name} {{ ds }} at <link>"}


def XCom(value: Any) -> Any:
    """The output of another task; on Airflow 2, where none runs here, what it would give."""
    if AIRFLOW < (3, 0):
        return value
    from airflow.sdk import DAG, BaseOperator

    from tests.support.airflow_harness import START

    with DAG("invites", schedule=None, start_date=START):
        return BaseOperator(task_id="find").output


@needs_runner
@pytest.mark.parametrize("template", ["{name.__class__}", "{0}", "{}", "{name!r}", "{name:>9}", "Hi {", "{name[0]}"])
def test_a_template_that_reaches_for_more_than_a_field_fails_before_anything_is_sent(at_sandbox, template):
    run = run_task(batch(people(3), message=f"{template} <link>", retries=2), retries=2)
    assert run.state == "failed"
    assert "Nothing was sent" in str(run.error)
    assert at_sandbox.requests_seen == 0


@needs_store
def test_the_manifest_and_all_result_rows_are_there_when_the_error_is_raised(at_sandbox, tmp_path):
    at_sandbox.set_faults(["rejected:0.2:52", "drop-after:0.1", "401:0.01"], seed=3)
    invites = [*people(200), {"to": "nobody"}, {"to": f"+{number(0)}", "name": "again"}]
    moments: list[tuple[str, int]] = []

    def look(message: Any) -> None:
        if type(message).__name__ == "SetXCom" and message.key == "return_value":
            moments.append(("manifest", len(rows_in(tmp_path))))

    run = run_task(batch(invites, results_path=str(tmp_path), key_column="id", retries=1), retries=1, on_message=look)
    assert run.state == "up_for_retry"
    assert moments == [("manifest", 202)]
    rows = rows_in(tmp_path)
    assert [row.position for row in rows] == list(range(1, 203))
    assert counts(run) == Counter(str(row.outcome) for row in rows)
    assert run.xcom["return_value"]["results"].endswith(str(tmp_path / "invites" / "run-1" / "invite"))
    accepted = {sms.to: sms for sms in at_sandbox.accepted}
    for row in rows:
        if row.outcome == "accepted":
            assert row.message_id == accepted[row.to].message_id
            assert (row.status_group, row.message_count, row.error) == (1, 1, None)
        if row.to in accepted and row.position <= 200:
            assert row.outcome in {"accepted", "unknown"}
    assert rows[200].error is not None
    assert rows[201].outcome == "duplicate"


# how it ends


def examples_in(error: BaseException | None) -> list[str]:
    return [line for line in str(error).splitlines() if line.startswith("  ")]


@needs_store
def test_what_was_not_sent_is_an_error_that_airflow_retries_and_the_retry_sends_only_those(at_sandbox, tmp_path):
    at_sandbox.script(*["ok"] * 50, "401")
    store: dict[str, Any] = {}
    given = {"results_path": str(tmp_path), "retries": 1, "concurrency": 1}
    first = run_task(batch(people(120), **given), store=store, retries=1)
    assert first.state == "up_for_retry"
    assert counts(first) == {"accepted": 50, "not_sent": 70}
    assert "70 invites were certainly not sent; another try sends only those" in str(first.error)
    assert "login, key or token is wrong" in str(first.error)
    assert len(examples_in(first.error)) == 10
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
    assert str(second.error).startswith(
        "1 invites that an earlier try may have sent were to be sent again and were not; they stay in doubt, and"
        " another try with on_unknown='resend' sends them. Sending was stopped: "
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
    told = str(second.error)
    assert told.startswith("4 invites were certainly not sent; another try sends those. 1 invites that an earlier try")


@needs_store
def test_a_resend_key_sends_to_all_once_more_and_only_once(at_sandbox, tmp_path):
    store: dict[str, Any] = {}
    for key in ("", "again", "again", "", "again"):
        run = run_task(batch(people(10), resend_key=key, results_path=str(tmp_path)), store=store)
        assert counts(run) == {"accepted": 10}
    assert Counter(sms.to for sms in at_sandbox.accepted) == {number(i): 2 for i in range(10)}


@needs_store
@pytest.mark.parametrize(("ratio", "state"), [(0.29, "failed"), (0.3, "success"), (1.0, "success"), (0.0, "failed")])
def test_too_many_rejected_fails_without_a_retry(at_sandbox, ratio, state):
    at_sandbox.script(*["rejected:52"] * 3)
    run = run_task(batch([*people(10), {"to": "x"}], max_rejected_ratio=ratio, retries=2), retries=2)
    assert run.state == state
    assert counts(run) == {"accepted": 7, "rejected": 3, "invalid": 1}
    if state == "failed":
        assert "rejected 3 of 10 invites, more than max_rejected_ratio" in str(run.error)
        assert len(examples_in(run.error)) == 3


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
def test_an_outage_ends_after_the_retry_budget_with_all_as_not_sent(hook_for, sandbox):
    hook = hook_for(sandbox)
    sandbox.stop()
    begin = time.monotonic()
    store: dict[str, Any] = {}
    run = run_task(batch(people(50), retry_budget=1.0, retries=1), store=store, retries=1)
    assert time.monotonic() - begin < 60
    assert run.state == "up_for_retry"
    assert counts(run) == {"not_sent": 50}
    assert "nothing was taken for 1 seconds" in str(run.error)
    assert hook is not None


@needs_store
@pytest.mark.parametrize("after", ["600", "999999"])
def test_a_retry_after_beyond_the_retry_budget_ends_the_try_instead_of_holding_the_worker(at_sandbox, after):
    at_sandbox.script("ok", f"429-retry-after:{after}")
    begin = time.monotonic()
    run = run_task(batch(people(10), concurrency=1, retry_budget=2.0, retries=1), retries=1)
    assert time.monotonic() - begin < 60  # and not 600
    assert run.state == "up_for_retry"
    assert counts(run) == {"accepted": 1, "not_sent": 9}
    assert "asks to wait" in str(run.error)


@needs_runner
def test_a_short_retry_after_is_waited_for_and_nothing_is_lost(at_sandbox):
    at_sandbox.script("ok", "429-retry-after:1", "503-retry-after:1")
    begin = time.monotonic()
    run = run_task(batch(people(4), concurrency=1, retry_budget=20))
    assert time.monotonic() - begin >= 1.0  # two refused invites, each waiting for itself
    assert counts(run) == {"accepted": 4}
    assert len(at_sandbox.accepted) == 4


# the list


@needs_runner
def test_the_output_of_another_task_is_taken_and_not_rendered(at_sandbox):
    found = [{"to": f"+{number(0)}", "name": "{{ ds }}"}]
    run = run_task(batch(XCom(found)), upstream={"find": found})
    assert run.succeeded, run.error
    assert [sms.message for sms in at_sandbox.accepted] == ["Hello {{ ds }}, follow us at <link>"]


@pytest.mark.parametrize("name", ["list.csv", "list.tsv", "list.jsonl", "list.ndjson"])
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_file_of_csv_or_json_lines_is_read(at_sandbox, tmp_path, name, scheme):
    path = tmp_path / name
    if name.endswith("sv"):
        with path.open("w", newline="") as file:
            writer = csv.writer(file, delimiter="\t" if name == "list.tsv" else ",")
            writer.writerow(["to", "name"])
            writer.writerows([f"+{number(i)}", f'P, "{i}"'] for i in range(40))
    else:
        path.write_text("".join(json.dumps({"to": f"+{number(i)}", "name": f'P, "{i}"'}) + "\n" for i in range(40)))
    if scheme and AIRFLOW == (3, 0):
        pytest.skip("ObjectStoragePath of Airflow 3.0 takes no file:// with the universal-pathlib of today")
    run = run_task(batch(f"{scheme}{path}"))
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 40}
    assert {sms.message for sms in at_sandbox.accepted} == {f'Hello P, "{i}", follow us at <link>' for i in range(40)}


@needs_store
def test_a_file_that_is_not_there_is_red_and_says_so(at_sandbox, tmp_path):
    run = run_task(batch(str(tmp_path / "none.csv"), retries=1), retries=1)
    assert run.state == "up_for_retry"
    assert "The list cannot be read" in str(run.error)
    assert at_sandbox.requests_seen == 0


@needs_runner
@pytest.mark.parametrize(
    "invites",
    [None, 7, ["+41793026727"], [{"to": "+41793026727"}, 7], "list.xlsx", b"x"],
    ids=["None", "a number", "texts", "one item no dict", "another kind of file", "bytes"],
)
def test_what_is_no_list_of_dicts_fails_without_a_retry_and_sends_nothing(at_sandbox, invites):
    run = run_task(batch(invites, retries=2, message="Hello <link>"), retries=2)
    assert run.state == "failed"
    assert "Nothing was sent" in str(run.error)
    assert number(0) not in str(run.error)
    assert at_sandbox.requests_seen == 0


def test_a_number_that_comes_twice_in_the_list_is_sent_once_however_it_is_written(at_sandbox):
    forms = ["+41 79 200 00 00", "0041792000000", "+41(79)2000000", "079 200 00 00", "41792000000", "792000000"]
    run = run_task(batch([{"to": to, "name": "P"} for to in forms], default_region="CH"))
    assert counts(run) == {"accepted": 1, "duplicate": 5}
    assert len(at_sandbox.accepted) == 1


BAD: dict[str, dict[str, Any]] = {
    "no number": {"name": "P"},
    "number None": {"to": None, "name": "P"},
    "number empty": {"to": "", "name": "P"},
    "number of spaces": {"to": "   ", "name": "P"},
    "a word": {"to": "Vreni", "name": "P"},
    "an address": {"to": "vreni@example.com", "name": "P"},
    "too short": {"to": "+41", "name": "P"},
    "too long": {"to": "+4179" + "1" * 40, "name": "P"},
    "huge": {"to": "1" * 100_000, "name": "P"},
    "a float": {"to": 41791234567.5, "name": "P"},
    "NaN": {"to": math.nan, "name": "P"},
    "a bool": {"to": True, "name": "P"},
    "a list": {"to": ["+41791234567"], "name": "P"},
    "a dict": {"to": {"number": "+41791234567"}, "name": "P"},
    "no country": {"to": "0791234567", "name": "P"},
    "two numbers": {"to": "+41791234567, +41791234568", "name": "P"},
    "a surrogate": {"to": "+4179123\ud83d4567", "name": "P"},
    "a NUL": {"to": "+4179123\x004567", "name": "P"},
    "no field of the template": {"to": "+41791234501"},
    "field None": {"to": "+41791234502", "name": None},
    "field blank": {"to": "+41791234503", "name": " "},
    "field NaN": {"to": "+41791234504", "name": math.nan},
    "field a list": {"to": "+41791234505", "name": ["P"]},
    "field with half a character": {"to": "+41791234506", "name": "\ud83d"},
    "own message without placeholder": {"to": "+41791234507", "message": "Hello"},
    "own message blank": {"to": "+41791234508", "message": "  "},
    "own message a number": {"to": "+41791234509", "message": 5},
    "own placeholder a number": {"to": "+41791234510", "name": "P", "link_placeholder": 5},
    "own placeholder not in the text": {"to": "+41791234511", "name": "P", "link_placeholder": "##"},
    "keys that are no texts": {1: "+41791234512", None: "P"},  # type: ignore[dict-item]
    "nothing": {},
}


@needs_store
def test_a_key_column_that_results_have_already_is_told_of_once(at_sandbox, tmp_path):
    run = run_task(
        batch(people(2, outcome="x"), results_path=str(tmp_path), key_column="outcome", retries=2), retries=2
    )
    assert run.state == "failed"
    assert "Nothing was sent. the key column cannot be named 'outcome'" in str(run.error)
    assert at_sandbox.requests_seen == 0


@needs_runner
def test_bad_rows_of_every_kind_among_a_thousand_good_ones_are_listed_and_the_good_ones_sent(at_sandbox, tmp_path):
    invites: list[dict[str, Any]] = people(1000)
    for place, bad in enumerate(BAD.values()):
        invites.insert(place * 32, {**bad, "id": f"bad{place}"} if bad else bad)
    run = run_task(batch(invites, results_path=str(tmp_path), key_column="id"))
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 1000, "invalid": len(BAD)}
    rows = rows_in(tmp_path)
    assert [row.position for row in rows] == list(range(1, len(invites) + 1))
    bad_rows = [row for row in rows if row.outcome == "invalid"]
    assert [row.position for row in bad_rows] == [place * 32 + 1 for place in range(len(BAD))]
    assert all(row.error for row in bad_rows)
    assert sorted(sms.to for sms in at_sandbox.accepted) == [number(i) for i in range(1000)]


@needs_store
def test_a_list_that_breaks_in_the_middle_is_red_and_loses_nothing_of_what_was_sent(at_sandbox, tmp_path, monkeypatch):
    store: dict[str, Any] = {}

    def breaking(rows: Any, *args: Any) -> Iterator[Any]:
        def read() -> Iterator[Any]:
            from airflow_provider_omnichat.campaign.model.rows import Row

            for position, row in enumerate(rows, 1):
                if position == 250:
                    raise OSError(f"lost the connection at {row['to']}")
                yield Row(position, row)

        return read()

    with monkeypatch.context() as patch:
        patch.setattr("airflow_provider_omnichat.campaign.rows.lists.rows_of_list", breaking)
        first = run_task(batch(people(300), retries=1, results_path=str(tmp_path)), store=store, retries=1)
    assert first.state == "up_for_retry"
    assert "The list cannot be read to its end" in str(first.error)
    assert number(249) not in str(first.error)
    sent = len(at_sandbox.accepted)
    assert counts(first) == {"accepted": sent, "not_sent": 249 - sent}
    again = run_task(batch(people(300), retries=1, results_path=str(tmp_path)), store=store, retries=1, try_number=2)
    assert again.succeeded, again.error
    assert len(at_sandbox.accepted) == at_sandbox.requests_seen == 300
    assert [row.position for row in rows_in(tmp_path)] == list(range(1, 301))


# pace


@needs_runner
def test_rate_limit_and_concurrency_are_ceilings(sandbox, hook_for):
    hook_for(sandbox)
    begin = time.monotonic()
    assert run_task(batch(people(60), rate_limit=40, concurrency=8)).succeeded
    assert time.monotonic() - begin >= 1.3
    assert sandbox.totals is not None


def test_no_more_requests_than_concurrency_are_under_way(wire, hook_for):
    under_way, most = 0, 0
    lock = threading.Lock()

    def slow(sock: Any) -> None:
        from tests.support.wire_server import answer

        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.02)
        with lock:
            under_way -= 1
        sock.sendall(answer())

    server = wire(*[slow] * 60)
    hook_for(server)
    run_task(batch(people(60), concurrency=5))
    assert len(server.invites) == 60
    assert most <= 5
    assert server.connections <= 5


# what the operator refuses


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


@pytest.mark.skipif(HAS_STATE_STORE, reason="this Airflow has the task state store")
def test_without_a_store_retries_are_refused_and_none_is_taken(at_sandbox):
    run = run_task(batch(people(3), retries=2), retries=2)
    assert run.state == "failed"
    assert "so a retry would send to everybody again" in str(run.error)
    assert at_sandbox.requests_seen == 0
    assert run_task(batch(people(3), retries=0)).succeeded
    assert at_sandbox.requests_seen == 3


# dry run


def test_a_dry_run_makes_no_request_and_touches_no_ledger(at_sandbox, tmp_path):
    touched: list[str] = []

    def look(message: Any) -> None:
        if "TaskStateStore" in type(message).__name__:
            touched.append(type(message).__name__)

    run = run_task(
        batch([*people(50), {"to": "x"}, *people(2)], dry_run=True, results_path=str(tmp_path)), on_message=look
    )
    assert run.succeeded, run.error
    manifest = run.xcom["return_value"]
    assert manifest["dry_run"] is True
    assert counts(run) == {"not_sent": 50, "invalid": 1, "duplicate": 2}
    assert (manifest["sent_this_try"], manifest["segments"]) == (0, 0)
    assert at_sandbox.requests_seen == 0
    assert touched == []
    assert list(tmp_path.iterdir()) == []


# being stopped


@needs_store
def test_execution_timeout_records_what_was_sent_and_the_next_try_sends_only_the_rest(at_sandbox, tmp_path, capsys):
    at_sandbox.set_faults(["latency:1:0.5"])
    store: dict[str, Any] = {}
    given = {"retries": 1, "results_path": str(tmp_path), "concurrency": 4}
    task = batch(people(200), execution_timeout=timedelta(seconds=6), **given)
    first = run_task(task, store=store, retries=1)
    assert first.state == "up_for_retry"
    assert type(first.error).__name__ == "AirflowTaskTimeout"
    sent = len(at_sandbox.accepted)
    assert 4 <= sent < 100
    assert at_sandbox.requests_seen == sent
    assert sum(row.outcome == "accepted" for row in rows_in(tmp_path)) == sent
    manifest = first.xcom["return_value"]
    assert (counts(first)["accepted"], manifest["rows"]) == (sent, len(rows_in(tmp_path)))
    assert manifest["missing"] == 200 - manifest["rows"] > 0
    told = f"of 200 rows of the list were read; {manifest['missing']} have no outcome and no row in the results"
    log = capsys.readouterr()
    assert f"The task was stopped. So far, {manifest['rows']} rows: " in log.out + log.err
    assert told in log.out + log.err
    at_sandbox.clear_faults()
    second = run_task(batch(people(200), **given), store=store, retries=1, try_number=2)
    assert second.succeeded, second.error
    assert counts(second) == {"accepted": 200}
    assert at_sandbox.requests_seen == 200
    assert [row.position for row in rows_in(tmp_path)] == list(range(1, 201))


@needs_store
@pytest.mark.parametrize("fault", ["latency:1:0.2", "hang-after:1"])
def test_on_kill_begins_no_request_records_those_under_way_and_ends_in_time(at_sandbox, hook_for, tmp_path, fault):
    hook_for(at_sandbox, extra={"timeout": 30})
    at_sandbox.set_faults([fault])
    store: dict[str, Any] = {}
    task = batch(people(200), retries=1, results_path=str(tmp_path))
    killed: list[tuple[float, int]] = []

    def kill() -> None:
        while at_sandbox.requests_seen < 4:
            time.sleep(0.05)
        killed.append((time.monotonic(), at_sandbox.requests_seen))
        os.kill(os.getpid(), signal.SIGTERM)  # as Airflow's supervisor does; the runner calls on_kill

    killer = threading.Thread(target=kill)
    killer.start()
    before = signal.getsignal(signal.SIGTERM)
    try:
        first = run_task(task, store=store, retries=1)
        ended = time.monotonic()
        killer.join()
    finally:
        signal.signal(signal.SIGTERM, before)
    ((moment, seen),) = killed
    assert ended - moment < 4.8
    assert at_sandbox.requests_seen <= seen + 8  # a few may have been about to leave
    assert first.state == "up_for_retry"
    assert "The task was stopped" in str(first.error)
    found = counts(first)
    assert found.get("accepted", 0) + found.get("unknown", 0) == at_sandbox.requests_seen
    assert ("unknown" in found) is fault.startswith("hang")
    missing = first.xcom["return_value"]["missing"]
    assert missing == 200 - sum(found.values()) > 0
    assert f"of 200 rows of the list were read; {missing} have no outcome" in str(first.error)
    at_sandbox.clear_faults()
    second = run_task(batch(people(200), retries=1, results_path=str(tmp_path)), store=store, try_number=2)
    assert sum(counts(second).values()) == 200
    assert len(at_sandbox.accepted) == 200
    assert Counter(sms.to for sms in at_sandbox.accepted).most_common(1)[0][1] == 1
    assert [row.position for row in rows_in(tmp_path)] == list(range(1, 201))


# where it leaves traces


@needs_store
def test_nothing_is_left_running(at_sandbox):
    before = {thread.name for thread in threading.enumerate()}
    run_task(batch(people(20)))
    for _ in range(50):
        left = {thread.name for thread in threading.enumerate()} - before
        if not left:
            break
        time.sleep(0.02)
    assert left == set()


# a store or a results path that cannot be trusted


def failing(nth: int, how: str) -> Any:
    """Make the *nth* message to the state store go wrong."""
    from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
    from airflow.sdk.execution_time.comms import ErrorResponse, OKResponse

    calls = 0

    def on_message(message: Any) -> Any:
        nonlocal calls
        if "TaskStateStore" not in type(message).__name__:
            return None
        calls += 1
        if how == "slow":
            time.sleep(0.05)
            return None
        if calls != nth and not (how == "for good" and calls > nth):
            return None
        if how == "forgets":
            found = ErrorResponse(error=ErrorType.TASK_STORE_NOT_FOUND)
            return found if type(message).__name__.startswith("Get") else OKResponse(ok=True)
        raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"to": number(0)}))

    return on_message


@needs_store
@pytest.mark.parametrize("how", ["once", "for good", "forgets", "slow"])
@pytest.mark.parametrize("nth", [*range(1, 9)])
def test_a_state_store_that_fails_at_any_call_is_red_and_no_later_try_sends_twice(at_sandbox, tmp_path, nth, how):
    store: dict[str, Any] = {}
    given = {"retries": 3, "results_path": str(tmp_path), "concurrency": 8}
    run = run_task(batch(people(60), **given), store=store, retries=3, on_message=failing(nth, how))
    left_alone = how == "slow" or at_sandbox.requests_seen == 60
    assert run.succeeded or run.state == "up_for_retry"
    assert left_alone or not run.succeeded
    assert number(0) not in str(run.error)
    if how == "forgets" and nth > 5:
        return  # a store that says yes and forgets later on cannot be told from one that works
    for try_number in (2, 3):
        run = run_task(batch(people(60), **given), store=store, retries=3, try_number=try_number)
    assert sum(counts(run).values()) == 60
    assert Counter(sms.to for sms in at_sandbox.accepted).most_common(1)[0][1] == 1
    assert [row.position for row in rows_in(tmp_path)] == list(range(1, 61))
    assert {row.to for row in rows_in(tmp_path) if row.outcome in {"accepted", "unknown"}} >= {
        sms.to for sms in at_sandbox.accepted
    }


@needs_store
def test_a_results_path_that_cannot_be_written_stops_the_batch_and_loses_nothing(at_sandbox, tmp_path):
    (tmp_path / "file").write_text("not a directory")
    store: dict[str, Any] = {}
    run = run_task(batch(people(300), results_path=str(tmp_path / "file"), retries=1), store=store, retries=1)
    assert run.state == "up_for_retry"
    assert "cannot be" in str(run.error)
    sent = len(at_sandbox.accepted)
    assert sent < 300
    again = run_task(batch(people(300), results_path=str(tmp_path / "ok"), retries=1), store=store, try_number=2)
    assert again.succeeded, again.error
    assert at_sandbox.requests_seen == len(at_sandbox.accepted) == 300
    assert [row.position for row in rows_in(tmp_path / "ok")] == list(range(1, 301))


@needs_store
def test_what_a_result_row_says_was_accepted_is_not_resent_although_the_ledger_lost_it(at_sandbox, tmp_path):
    store: dict[str, Any] = {}
    run_task(batch(people(20), results_path=str(tmp_path)), store=store)
    for key, value in store.items():
        if not key.endswith(":count"):
            store[key] = {**value, "outcomes": "." * len(value["outcomes"])}  # killed before the outcomes were written
    again = run_task(batch(people(20), results_path=str(tmp_path), on_unknown="resend"), store=store, try_number=2)
    assert again.succeeded, again.error
    assert counts(again) == {"accepted": 20}
    store.clear()
    third = run_task(batch(people(20), results_path=str(tmp_path)), store=store, try_number=3)
    assert counts(third) == {"accepted": 20}
    assert at_sandbox.requests_seen == 20
    assert len(rows_in(tmp_path)) == 20


# the SQL ledger


@pytest.fixture
def ledger(monkeypatch, tmp_path):
    pytest.importorskip("airflow.providers.sqlite.hooks.sqlite")
    if AIRFLOW < (3, 0):
        pytest.skip("Airflow 2 has no task runner of its own")
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "l.sqlite")}))
    return {"ledger_conn_id": "ledger", "campaign": "welcome"}


def test_a_campaign_invites_each_number_once_over_all_tasks(at_sandbox, ledger, tmp_path):
    first = run_task(batch(people(50), **ledger, task_id="one"))
    assert counts(first) == {"accepted": 50}
    assert first.xcom["return_value"]["results"] == "table omnichat_invites of connection ledger"
    second = run_task(batch(people(80), **ledger, task_id="other", results_path=str(tmp_path / "results")))
    assert second.succeeded, second.error
    assert counts(second) == {"accepted": 30, "duplicate": 50}
    assert "already invited in this campaign" in str(rows_in(tmp_path / "results")[0].error)
    on_purpose = run_task(batch(people(5), **ledger, task_id="one", resend_key="again"))
    assert counts(on_purpose) == {"accepted": 5}
    assert at_sandbox.requests_seen == 85


def test_the_ledger_database_is_closed_at_the_end(at_sandbox, ledger, tmp_path):
    run_task(batch(people(5), **ledger))
    open_files = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert tmp_path / "l.sqlite" not in open_files


@needs_runner
def test_what_one_task_of_a_campaign_could_not_send_another_sends(at_sandbox, ledger):
    at_sandbox.script("ok", "401")
    one = run_task(batch(people(10), **ledger, task_id="one", concurrency=1, retries=1), retries=1)
    assert counts(one) == {"accepted": 1, "not_sent": 9}
    other = run_task(batch(people(10), **ledger, task_id="other"))
    assert counts(other) == {"accepted": 9, "duplicate": 1}
    again = run_task(batch(people(10), **ledger, task_id="one", retries=1), retries=1, try_number=2)
    assert counts(again) == {"accepted": 1, "duplicate": 9}
    assert len(at_sandbox.accepted) == 10


@needs_runner
def test_a_ledger_database_that_is_gone_sends_nothing(at_sandbox, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({"conn_type": "sqlite", "host": "/no/such/place/l.sqlite"}))
    run = run_task(batch(people(10), ledger_conn_id="ledger", retries=1), retries=1)
    assert run.state == "up_for_retry"
    assert at_sandbox.requests_seen == 0


# privacy


@needs_runner
@pytest.mark.parametrize("fault", ["ok", "rejected:52", "400", "401", "drop-after", "html-200"])
def test_no_number_text_or_credential_shows_anywhere(at_sandbox, hook_for, tmp_path, capfd, caplog, fault):
    hook_for(at_sandbox, password=at_sandbox.credentials.password)
    at_sandbox.script(*[fault] * 3)
    caplog.set_level("DEBUG")
    found = [*people(30), {"to": f"{number(99)}99999999999999"}, {"to": f"+{number(98)}"}, {"to": f"{number(97)} x"}]
    run = run_task(batch(XCom(found), message="Dear zebra {name} <link>"), upstream={"find": found})
    shown = capfd.readouterr()
    everything = "\n".join(
        [shown.out, shown.err, caplog.text, str(run.error), repr(run.error), json.dumps(run.xcom), str(run.rendered)]
    ) + json.dumps(run.store)
    for hidden in ("zebra", at_sandbox.credentials.password, *(number(i)[2:] for i in (*range(30), 97, 98, 99))):
        assert hidden not in everything, hidden
