"""Thousands of invites by a task that is killed, and the vendor's own log as the judge."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

from tests.support.batch_tasks import number

INVITES = int(os.environ.get("OMNICHAT_PROOF_INVITES", "5000"))
KILLS = 10
FAULTS = (
    *("429:0.05", "503:0.02", "drop-before:0.02", "drop-after:0.02", "500-after:0.02", "rejected:0.03:52"),
    *("hang-before:0.001", "hang-after:0.001"),
)


def write_list(path: Path, count: int) -> str:
    with path.open("w") as file:
        for i in range(count):
            file.write(json.dumps({"to": f"+{number(i)}", "customer_id": f"c{i}", "name": f"P{i}"}) + "\n")
    return str(path)


def judge(invites: int, receipts: list[dict[str, Any]], rows: list[Any], last: dict[str, Any]) -> str:
    accepted = Counter(receipt["to"] for receipt in receipts if receipt["accepted"])
    assert [to for to, times in accepted.items() if times > 1] == []
    assert [row.position for row in rows] == list(range(1, invites + 1))
    outcomes = {row.to: str(row.outcome) for row in rows}
    assert len(outcomes) == invites
    assert {outcomes[to] for to in accepted} <= {"accepted", "rejected", "unknown"}
    assert [to for to, outcome in outcomes.items() if outcome == "accepted" and to not in accepted] == []
    manifest = last["manifest"]
    assert manifest["rows"] == sum(manifest["counts"].values()) == invites
    found = Counter(outcomes.values())
    assert {name: count for name, count in manifest["counts"].items() if count} == dict(found)
    assert last["state"] == ("failed" if found["unknown"] else "success"), last["error"]
    assert found["not_sent"] == 0
    reached = {receipt["to"] for receipt in receipts}
    idle = sum(outcome == "unknown" and to not in reached for to, outcome in outcomes.items())
    return f"{len(receipts)} requests, {len(accepted)} SMS, {dict(found)}, of the unknown {idle} never left"
