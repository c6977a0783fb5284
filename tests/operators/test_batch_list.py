"""What comes in a list: files, the output of other tasks, rows that can be sent and rows that cannot."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.airflow_harness import run_task
from tests.support.airflow_versions import needs_runner, needs_store
from tests.support.batch_tasks import XCom, batch, counts, number, people, rows_in


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
