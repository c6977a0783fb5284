"""Thousands of invites by a task that is killed, and the vendor's own log as the judge."""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

from airflow_provider_omnichat.campaign.model.rows import Result
from airflow_provider_omnichat.campaign.results.files import read_results
from tests.support.batch_tasks import number
from tests.support.tries import Plan, Starter
from tests.support.vendor import Vendor

INVITES = int(os.environ.get("OMNICHAT_PROOF_INVITES", "5000"))
KILLS = 10
FAULTS = (
    *("429:0.05", "503:0.02", "drop-before:0.02", "drop-after:0.02", "500-after:0.02", "rejected:0.03:52"),
    *("hang-before:0.001", "hang-after:0.001"),
)
MOST_TRIES = 60


def write_list(path: Path, count: int) -> str:
    with path.open("w") as file:
        for i in range(count):
            file.write(json.dumps({"to": f"+{number(i)}", "customer_id": f"c{i}", "name": f"P{i}"}) + "\n")
    return str(path)


def run_with_kills(
    tries: Starter, plan: Plan, sandbox: Vendor, chance: random.Random, most_kills: int = KILLS, invites: int = INVITES
) -> tuple[dict[str, Any], int, int]:
    """Run try after try as Airflow would, killing the first ones at random moments; count kills and tries."""
    kills = number_of_try = 0
    while True:
        number_of_try += 1
        running = tries.start(Plan(plan.home, plan.given, plan.environment, number_of_try))
        if kills < most_kills:
            if chance.random() < 0.2:
                time.sleep(chance.uniform(0, 0.4))  # while it reads what earlier tries left, or claims the first
            else:
                goal = sandbox.requests + chance.randrange(1, max(2, invites // 20))
                while sandbox.requests < goal and running.runs():
                    time.sleep(0.002)
                time.sleep(chance.uniform(0, 0.05))
            if running.kill():
                kills += 1
                continue
        ended = dict(running.wait())
        if ended["state"] != "up_for_retry" or number_of_try > MOST_TRIES:
            return ended, kills, number_of_try


def rows_below(folder: Path) -> list[Result]:
    """The result rows that all tries left below a folder, in the order of the list."""
    (home,) = {file.parent for file in folder.rglob("*-try-*")}
    return sorted(read_results(home), key=lambda row: row.position)


def judge(invites: int, receipts: list[dict[str, Any]], rows: list[Result], last: dict[str, Any]) -> str:
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
