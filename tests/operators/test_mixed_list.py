"""A thousand rows that mix what real lists bring: each ends as it must, and nobody who is not on it gets anything."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.operators.omnichat import SendInviteBatchOperator
from tests.support.airflow_harness import run_task
from tests.support.batch_tasks import counts, rows_in

EACH = 100

# what stands in the row (number, country), the number that the server may see for it, and how the row ends
KINDS: list[tuple[str, Callable[[int], tuple[Any, str]], Callable[[int], str] | None, str]] = [
    ("international", lambda i: (f"+41 79 {i:03} 00 11", "CH"), lambda i: f"4179{i:03}0011", "accepted"),
    ("twice", lambda i: (f"004179{i:03}0011", "DE"), None, "duplicate"),
    ("data frame", lambda i: (f"1712345{i:02}7.0", "DE"), lambda i: f"491712345{i:02}7", "accepted"),
    ("Argentina with the 9", lambda i: (f"+54 9 11 2345-67{i:02}", ""), lambda i: f"549112345{6700 + i}", "accepted"),
    ("Argentina without", lambda i: (f"+54 11 2345-67{i:02}", ""), None, "duplicate"),
    ("opted out, other writing", lambda i: (f"+55 11 96123-45{i:02}", ""), None, "suppressed"),
    ("Mexico's old 1", lambda i: (f"1 55 1234 56{i:02}", "MX"), lambda i: f"5255123456{i:02}", "accepted"),
    ("another country's", lambda i: (f"4479111234{i:02}", "US"), None, "invalid"),
    ("two numbers", lambda i: (f"030 123{i:02} / 030 124{i:02}", "DE"), None, "invalid"),
    (
        "no number",
        lambda i: (["", "4.17E+10", "n/a", f"417930267{i:02}.5", "-41793026727"][i % 5], "CH"),
        None,
        "invalid",
    ),
]
OPT_OUTS = [f"55116123{4500 + i}" for i in range(EACH)]
REASONS = {
    "the same number appears earlier": 2 * EACH,
    "is on the opt-out list": EACH,
    "is not a number of US": EACH,
    "is more than one plain number": EACH,
    "is missing": EACH // 5,
    "was shortened by a spreadsheet": EACH // 5,
    "has letters in it": EACH // 5,
    "has digits behind a decimal point": EACH // 5,
    "has '-' before its first digit": EACH // 5,
}


def rows() -> list[dict[str, Any]]:
    made = [(place, kind, i) for i in range(EACH) for place, kind in enumerate(KINDS)]
    return [
        {"id": f"{place}-{i}", "to": written, "country": country}
        for place, (_, row, _, _), i in made
        for written, country in [row(i)]
    ]


def given(source: str, folder: Path) -> Any:
    listed = rows()
    if source == "csv":
        with (folder / "list.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, ["id", "to", "country"])
            writer.writeheader()
            writer.writerows(listed)
        return str(folder / "list.csv")
    if source == "jsonl":
        (folder / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in listed))
        return str(folder / "list.jsonl")
    return listed


@pytest.mark.parametrize("source", ["list", "csv", "jsonl"])
def test_each_row_of_a_mixed_list_ends_as_it_must_and_nobody_else_is_written_to(sandbox, hook_for, tmp_path, source):
    hook_for(sandbox)
    task = SendInviteBatchOperator(
        task_id="invite",
        invites=given(source, tmp_path),
        message="Hi <link>",
        region_column="country",
        key_column="id",
        suppression=OPT_OUTS,
        results_path=str(tmp_path / "results"),
        max_rejected_ratio=1.0,
    )
    run = run_task(task)
    assert run.succeeded, run.error
    allowed = {number(i) for _, _, number, _ in KINDS if number for i in range(EACH)}
    assert {sms.to for sms in sandbox.accepted} == allowed
    assert len(sandbox.accepted) == sandbox.requests_seen == len(allowed) == 4 * EACH
    assert counts(run) == {"accepted": 400, "duplicate": 200, "suppressed": 100, "invalid": 300}
    results = rows_in(tmp_path / "results")
    assert [row.key for row in results] == [row["id"] for row in rows()]
    for row in results:
        place = int(str(row.key).partition("-")[0])
        assert row.outcome == KINDS[place][3], (KINDS[place][0], row)
    reasons = Counter(reason for row in results if row.error for reason in REASONS if reason in row.error)
    assert reasons == REASONS
