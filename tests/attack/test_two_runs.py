"""Two runs of one campaign at once on one SQLite ledger, killed at any moment: each number gets one SMS at most."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from airflow_provider_omnichat.campaign.results.files import read_results
from tests.support.airflow_versions import needs_store
from tests.support.attacks import TRIED, chance, many
from tests.support.killed_campaigns import FAULTS, write_list
from tests.support.tries import Plan, Try, starter
from tests.support.vendor import vendor

pytestmark = [pytest.mark.attack, pytest.mark.timeout(300), needs_store]

PEOPLE, KILLS, RUNS = 400, 6, ("one", "other")


@pytest.mark.parametrize("turn", range(many(2)))
def test_two_runs_that_are_killed_send_to_each_at_most_once(tmp_path: Path, turn: int) -> None:
    by = chance("kills", turn)
    faults = [option for fault in FAULTS for option in ("--fault", fault)]
    tries, running, killed = dict.fromkeys(RUNS, 0), {}, 0
    with vendor(tmp_path / "vendor", "--latency", "0.01", *faults) as sandbox, starter(tmp_path / "airflow") as made:
        environment = {
            "AIRFLOW_CONN_OMNICHAT_DEFAULT": sandbox.connection(timeout=2),
            "AIRFLOW_CONN_LEDGER": json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "ledger.sqlite")}),
        }
        given = {"ledger_conn_id": "ledger", "campaign": "welcome", "message": "Hello <link>", "concurrency": 4}
        given |= {
            "invites": write_list(tmp_path / "list.jsonl", PEOPLE),
            "results_path": str(tmp_path / "results"),
        }

        def start(name: str) -> Try:
            tries[name] += 1
            (tmp_path / name).mkdir(exist_ok=True)
            return made.start(Plan(str(tmp_path / name), {**given, "task_id": name}, environment, tries[name]))

        running = {name: start(name) for name in RUNS}
        for _ in range(KILLS):
            goal = sandbox.requests + by.randint(1, PEOPLE // 8)
            while sandbox.requests < goal and any(each.runs() for each in running.values()):
                time.sleep(0.005)
            time.sleep(by.uniform(0, 0.05))
            name = by.choice(RUNS)
            killed += running[name].kill()
            running[name] = start(name)
        last = {name: each.wait(250) for name, each in running.items()}
        accepted, asked = sandbox.accepted(), sandbox.requests
    assert [to for to, count in accepted.items() if count > 1] == []
    for name in RUNS:
        manifest = last[name]["manifest"]
        assert manifest["rows"] == sum(manifest["counts"].values()) == PEOPLE, last[name]
        rows = list(read_results(tmp_path / "results" / "invites" / "run-1" / name))
        assert sorted(row.position for row in rows) == list(range(1, PEOPLE + 1))
        taken = {"accepted", "rejected", "unknown", "duplicate"}
        wrong = [row for row in rows if row.to in accepted and row.outcome not in taken]
        assert [*wrong, *(row for row in rows if row.to not in accepted and row.outcome == "accepted")] == []
    TRIED["kills of two runs"] += killed
    TRIED["invites under kills"] += asked
