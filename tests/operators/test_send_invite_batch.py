"""A list of invites from one task: through the real operator, Airflow's task runner and a real server."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from typing import Any

import pytest

from tests.support.airflow_harness import run_task
from tests.support.airflow_versions import needs_runner, needs_store
from tests.support.batch_tasks import XCom, batch, counts, number, people, rows_in

# the manifest


def test_each_row_is_sent_once_and_the_manifest_tells_it(at_sandbox):
    run = run_task(batch(people(300)))
    assert run.succeeded, run.error
    manifest = run.xcom["return_value"]
    assert set(manifest) == {
        *("campaign", "rows", "missing", "counts", "reasons", "results", "rows_in", "segments", "sent_this_try"),
        *("started_at", "finished_at"),
    }
    assert manifest["campaign"] == "invites/run-1/invite"
    assert manifest["rows"] == manifest["sent_this_try"] == manifest["segments"] == 300
    assert manifest["results"] is manifest["rows_in"] is None
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


@needs_runner
@pytest.mark.parametrize("template", ["{name.__class__}", "{0}", "{}", "{name!r}", "{name:>9}", "Hi {", "{name[0]}"])
def test_a_template_that_reaches_for_more_than_a_field_fails_before_anything_is_sent(at_sandbox, template):
    run = run_task(
        batch(people(3), message="{{ params.text }} <link>", params={"text": template}, retries=2), retries=2
    )
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
        from tests.support.wire_server import ACCEPTED, answer

        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.02)
        with lock:
            under_way -= 1
        sock.sendall(answer(200, {**ACCEPTED, "to": None}))

    server = wire(*[slow] * 60)
    hook_for(server)
    run_task(batch(people(60), concurrency=5))
    assert len(server.invites) == 60
    assert most <= 5
    assert server.connections <= 5


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
    # The template with nothing filled in may be seen where Airflow shows what the DAG file says.
    assert run.rendered.pop("message") == "Dear zebra {name} <link>"
    everything = "\n".join(
        [shown.out, shown.err, caplog.text, str(run.error), repr(run.error), json.dumps(run.xcom), str(run.rendered)]
    ) + json.dumps(run.store)
    for hidden in ("zebra", at_sandbox.credentials.password, *(number(i)[2:] for i in (*range(30), 97, 98, 99))):
        assert hidden not in everything, hidden
