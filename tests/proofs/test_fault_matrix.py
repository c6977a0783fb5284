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

from tests.support.airflow_versions import needs_store
from tests.support.killed_campaigns import FAULTS, INVITES, KILLS, judge, rows_below, run_with_kills, write_list
from tests.support.sql_servers import postgresql
from tests.support.tries import Plan, Starter, starter
from tests.support.vendor import vendor

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
    rows = rows_below(tmp_path / "results")
    told = judge(INVITES, receipts, rows, last)
    with capsys.disabled():
        print(f"\nseed {seed}, {ledger}: {kills} kills, {tried} tries, {seconds:.0f} s; {told}")
    record_property("told", told)
    assert kills == KILLS
