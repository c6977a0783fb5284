"""
Thousands of invites through a vendor that fails in every way, sent by a task that is killed ten times.

The vendor's own log is the judge. `make proof-faults`; OMNICHAT_PROOF_INVITES, OMNICHAT_PROOF_SEEDS make it smaller.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.campaign.results.files import read_results
from tests.support.airflow_versions import needs_store
from tests.support.killed_campaigns import FAULTS, INVITES, KILLS, judge, write_list
from tests.support.sql_servers import postgresql
from tests.support.tries import Plan, Starter, starter
from tests.support.vendor import Vendor, vendor

pytestmark = needs_store
SEEDS = int(os.environ.get("OMNICHAT_PROOF_SEEDS", "18"))
LEDGERS = ("state store", "state store", "sqlite", "postgresql")


@pytest.fixture(scope="module")
def tries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starter]:
    with starter(tmp_path_factory.mktemp("airflow")) as made:
        yield made


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Airflow connections for the ledger by kind of database."""
    file = tmp_path_factory.mktemp("ledger") / "ledger.sqlite"
    made = {"sqlite": json.dumps({"conn_type": "sqlite", "host": str(file)})}
    with ExitStack() as stack:
        try:
            server = stack.enter_context(postgresql())
        except pytest.skip.Exception:
            made["postgresql"] = ""
        else:
            fields = {"host": server["host"], "login": server["user"], "schema": server["dbname"]}
            made["postgresql"] = json.dumps({"conn_type": "postgres", **fields})
        yield made


def number(index: int) -> str:
    return f"4179{2_000_000 + index}"


@pytest.mark.parametrize(
    "seed",
    [pytest.param(seed, marks=pytest.mark.slow if seed == 1 else pytest.mark.proof) for seed in range(1, SEEDS + 1)],
)
def test_at_most_once_and_nothing_lost(
    seed: int, tries: Starter, databases: dict[str, str], tmp_path: Path, record_property: Any, capsys: Any
) -> None:
    ledger = LEDGERS[seed % len(LEDGERS)]
    if not databases.get(ledger, "-"):
        pytest.skip(f"no {ledger} on this machine")
    chance = random.Random(seed)
    begin = time.monotonic()
    options = [part for fault in FAULTS for part in ("--fault", fault)]
    with vendor(tmp_path / "vendor", "--seed", str(seed), *options) as sandbox:
        environment = {"AIRFLOW_CONN_OMNICHAT_DEFAULT": sandbox.connection(timeout=2)}
        given: dict[str, Any] = {
            "invites": write_list(tmp_path / "list.jsonl", INVITES),
            "message": "Hello {name}, follow us at <link>",
            "results_path": str(tmp_path / "results"),
            "results_format": chance.choice(["jsonl", "csv"]),
            "key_column": "customer_id",
            "retry_budget": 30.0,
        }
        if ledger != "state store":
            environment["AIRFLOW_CONN_LEDGER"] = databases[ledger]
            given |= {"ledger_conn_id": "ledger", "campaign": f"welcome-{seed}"}
        (tmp_path / "task").mkdir()
        last, kills, tried = run_with_kills(tries, Plan(str(tmp_path / "task"), given, environment), sandbox, chance)
        seconds = time.monotonic() - begin
        receipts = sandbox.receipts()
    rows = sorted(read_results(home_of(tmp_path / "results")), key=lambda row: row.position)
    told = judge(INVITES, receipts, rows, last)
    with capsys.disabled():
        print(f"\nseed {seed}, {ledger}: {kills} kills, {tried} tries, {seconds:.0f} s; {told}")
    record_property("told", told)
    assert kills == KILLS


def run_with_kills(
    tries: Starter, plan: Plan, sandbox: Vendor, chance: random.Random
) -> tuple[dict[str, Any], int, int]:
    """Run try after try as Airflow would, killing the first ones at random moments."""
    kills = number_of_try = 0
    while True:
        number_of_try += 1
        running = tries.start(Plan(plan.home, plan.given, plan.environment, number_of_try))
        if kills < KILLS:
            if chance.random() < 0.2:
                time.sleep(chance.uniform(0, 0.4))  # while it reads what earlier tries left, or claims the first
            else:
                goal = sandbox.requests + chance.randrange(1, max(2, INVITES // 20))
                while sandbox.requests < goal and running.runs():
                    time.sleep(0.002)
                time.sleep(chance.uniform(0, 0.05))
            if running.kill():
                kills += 1
                continue
        ended = dict(running.wait())
        if ended["state"] != "up_for_retry" or number_of_try > 60:
            return ended, kills, number_of_try


def home_of(folder: Path) -> Path:
    (home,) = {file.parent for file in folder.rglob("*-try-*")}
    return home
