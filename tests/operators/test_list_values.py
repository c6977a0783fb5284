"""What drivers, spreadsheets and data frames do to values, from everything that can give a list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.airflow_harness import run_task
from tests.support.batch_tasks import counts, rows_in
from tests.support.list_sources import EVERY_KIND, Sources, batch, decorated, giving
from tests.support.single_tasks import invite

pytestmark = pytest.mark.usefixtures("ledger")

ROWS: list[dict[str, Any]] = [
    {"to": "+41793026727", "name": "Ada\u00a0   \r\n", "id": "c-1   ", "country": "<NA>"},
    {"to": 41793030000.0, "name": "Rounded", "id": "c-2", "country": ""},
    {"to": "079 302 67 28", "name": "Cy", "id": "c-3", "country": " CH "},
    {"to": "+41793026729", "name": "(null)", "id": "c-4", "country": "#N/A"},
]


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_values_mean_the_same_from_every_source(at_sandbox, tmp_path, monkeypatch, kind):
    rules = {"key_column": "id", "region_column": "country", "results_path": str(tmp_path / "results")}
    run = run_task(Sources(tmp_path, monkeypatch).task(kind, ROWS, message="Hi {name}, <link>", **rules))
    assert run.succeeded, run.error
    assert {sms.to: sms.message for sms in at_sandbox.accepted} == {
        "41793026727": "Hi Ada, <link>",
        "41793026728": "Hi Cy, <link>",
    }
    results = rows_in(tmp_path / "results")
    assert [row.key for row in results] == ["c-1", "c-2", "c-3", "c-4"]
    assert [row.reason and row.reason.code for row in results] == [
        None,
        "number_lost_digits",
        None,
        "no_field_for_text",
    ]


@pytest.mark.parametrize("to", [41793030000.0, "{{ 41793028096.0 }}"])
def test_one_invite_to_a_rounded_number_is_not_sent(at_sandbox, to):
    run = run_task(invite(to=to))
    assert run.state == "failed"
    assert "looks like a float that was rounded" in str(run.error)
    assert at_sandbox.requests_seen == 0


def test_a_rounded_number_of_a_function_of_the_user_is_not_sent(at_sandbox):
    run = run_task(decorated(giving([{"to": 41793028096.0, "name": "Ada"}])))
    assert counts(run) == {"invalid": 1}
    assert at_sandbox.requests_seen == 0


def test_the_file_of_a_spreadsheet_is_split_so_that_the_columns_are_there(at_sandbox, tmp_path: Path):
    (tmp_path / "list.csv").write_text("Kundennr;Mobil;Name, Vorname, Titel\n1;+41793026727;Muster, Ada, Dr.\n")
    run = run_task(batch(str(tmp_path / "list.csv"), message="Hi <link>", to_column="Mobil", key_column="Kundennr"))
    assert run.succeeded, run.error
    assert [sms.to for sms in at_sandbox.accepted] == ["41793026727"]
