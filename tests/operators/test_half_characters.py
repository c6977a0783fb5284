"""Half a character, as a truncated emoji leaves it, in a list, an argument or a failure: nobody else pays for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_omnichat.campaign.checks.send_window import SendWindow
from airflow_provider_omnichat.operators.omnichat import SendInviteOperator
from tests.support.airflow_harness import run_task
from tests.support.airflow_versions import HAS_STATE_STORE, needs_runner, needs_store
from tests.support.batch_tasks import MESSAGE, batch, counts, number, rows_in
from tests.support.list_sources import Sources

WHOLE_DAY = SendWindow("00:00", "24:00", zone_column="zone")
HALF = "\ud83d"
REFUSED = "has half a character in it (a lone surrogate); fix the source's encoding"


def strictly(message: Any) -> None:
    """Take a message as Airflow's supervisor does, which is told in UTF-8."""
    given = message.model_dump(mode="python")
    json.dumps(given, ensure_ascii=False, default=str).encode()


@needs_runner
@pytest.mark.parametrize("kind", ["jsonl", "list", "lists in a list", "iterator"])
@pytest.mark.parametrize("remembers", ["ledger", *(["store"] if HAS_STATE_STORE else [])])
def test_in_a_row_it_costs_that_row_at_most(at_sandbox, ledger, tmp_path, monkeypatch, kind, remembers):
    rows = [{"to": f"+{number(i)}", "name": f"P{i}", "id": f"c{i}", "note": HALF, "zone": ""} for i in range(8)]
    rows[1]["id"] = f"c1{HALF}"
    rows[2]["id"] = f"{HALF}\ude00 c2"
    rows[3].update(name=HALF, id=f"c3{HALF}")  # named in the manifest
    rows[4]["to"] += HALF
    rows[5]["zone"] = f"Europe/{HALF}"
    given = {"key_column": "id", "message": MESSAGE, "max_rejected_ratio": 1.0, "send_window": WHOLE_DAY}
    kept = {"results_path": str(tmp_path / "results"), **(ledger if remembers == "ledger" else {})}
    task = Sources(tmp_path, monkeypatch).task(kind, rows, **given, **kept)
    run = run_task(task, on_message=strictly)
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 5, "invalid": 3}
    found = {row.position: row for row in rows_in(tmp_path / "results")}
    assert [found[place].key for place in (2, 3)] == ["c1\ufffd", "\U0001f600 c2"]
    assert REFUSED in str(found[4].error)
    for row in found.values():
        f"{row.key}{row.to}{row.error}".encode()


@pytest.mark.parametrize("name", ["campaign", "resend_key", "application_key", "message", "ledger_table"])
@pytest.mark.parametrize("single", [True, False])
def test_in_an_argument_it_is_refused_since_two_names_would_become_one(at_sandbox, ledger, name, single):
    given = {"campaign": "c", **ledger, name: "{{ '\\ud83d' }} <link>"}
    if single:
        task: Any = SendInviteOperator(task_id="invite", to=f"+{number(0)}", **{"message": MESSAGE, **given})
    else:
        task = batch([{"to": f"+{number(0)}", "name": "A"}], retries=3, **given)
    run = run_task(task, retries=3)
    assert run.state == "failed"
    assert str(run.error).startswith(f"Nothing was sent. {name}: {REFUSED}")
    assert not at_sandbox.accepted


@needs_runner
def test_in_the_failure_of_a_storage_it_is_no_second_failure(at_sandbox, ledger):
    class Gone:
        name = "list.csv"

        def open(self, mode: str) -> Any:
            raise OSError(f"no such {HALF}")

        def iterdir(self) -> Iterator[Any]:
            return iter([])

    run = run_task(batch(Gone(), retries=1, **ledger), retries=1, on_message=strictly)
    assert run.state == "up_for_retry"
    assert "no such" in str(run.error)
    str(run.error).encode()


@needs_store
def test_a_value_that_cannot_be_serialised_is_no_outage_that_is_waited_for(at_sandbox, caplog):
    def refuse(message: Any) -> None:
        if type(message).__name__ == "SetTaskStateStore" and "a" in str(dict(message.value).get("outcomes", "")):
            raise UnicodeEncodeError("utf-8", HALF, 0, 1, "surrogates not allowed")

    def refuse_segments(message: Any) -> None:
        if type(message).__name__ == "SetTaskStateStore" and isinstance(message.value, dict):
            refuse(message)

    rows = [{"to": f"+{number(i)}", "name": "A"} for i in range(40)]
    run = run_task(batch(rows, ledger_patience=2), on_message=refuse_segments)
    assert not run.succeeded
    assert "cannot be written (UnicodeEncodeError)" in str(run.error)
    assert "tried again" not in caplog.text
