"""
What a SIGKILL leaves in doubt: open claims in the ledger, ten kills for each ledger and pace.

32 requests are under way, which is the physical limit. `make proof-doubts`; OMNICHAT_PROOF_KILLS makes it smaller.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tests.support.airflow_versions import needs_store
from tests.support.killed_campaigns import write_list
from tests.support.sql_servers import Target, postgresql
from tests.support.tries import Plan, Starter, starter
from tests.support.vendor import Vendor, vendor

pytestmark = needs_store
KILLS = int(os.environ.get("OMNICHAT_PROOF_KILLS", "10"))
CONNECTIONS = 32
INVITES = 20_000
PACED = 50
MOST_AT_FULL_PACE = {"sqlite": 4 * CONNECTIONS, "postgresql": 4 * CONNECTIONS, "state store": 8 * CONNECTIONS}
MOST_PACED = 8

OpenClaims = Callable[[Plan], int]


@pytest.fixture(scope="module")
def tries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starter]:
    with starter(tmp_path_factory.mktemp("airflow")) as made:
        yield made


@contextmanager
def ledger(kind: str, home: Path) -> Iterator[tuple[dict[str, str], OpenClaims]]:
    """Give the environment and what counts the open claims of a plan."""
    if kind == "state store":
        yield {}, lambda plan: open_in_store(Path(plan.home) / "store.sqlite")
        return
    with ExitStack() as stack:
        if kind == "sqlite":
            file = str(home / "ledger.sqlite")
            connection: dict[str, Any] = {"conn_type": "sqlite", "host": file}
            target = Target("sqlite", "sqlite3", {"database": file})
        else:
            server = stack.enter_context(postgresql())
            fields = {"host": server["host"], "login": server["user"], "schema": server["dbname"]}
            connection, target = {"conn_type": "postgres", **fields}, Target("postgresql", "psycopg2", server)
        counted = "SELECT count(*) FROM omnichat_invites WHERE campaign = ? AND outcome IS NULL"
        yield (
            {"AIRFLOW_CONN_LEDGER": json.dumps(connection)},
            lambda plan: int(target.run(counted, plan.given["campaign"])[0][0]),
        )


def open_in_store(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        values = [json.loads(value) for (value,) in database.execute("SELECT value FROM store")]
    return sum(value["outcomes"].count(".") for value in values if isinstance(value, dict) and "outcomes" in value)


def killed(tries: Starter, plan: Plan, sandbox: Vendor, after: int) -> None:
    """Kill a try once so many of its requests have come."""
    goal, running = sandbox.requests + after, tries.start(plan)
    while sandbox.requests < goal:
        assert running.runs(), f"the try ended by itself: {running.result}"
        time.sleep(0.002)
    time.sleep(random.uniform(0, 0.1))
    assert running.kill(), "the try ended before it was killed"


@pytest.mark.parametrize(
    ("kind", "pace", "kills"),
    [
        pytest.param("state store", "full", 3, marks=pytest.mark.slow),
        *(
            pytest.param(kind, pace, KILLS, marks=pytest.mark.proof)
            for kind in MOST_AT_FULL_PACE
            for pace in ("full", "50/s")
        ),
    ],
)
def test_a_kill_leaves_little_more_in_doubt_than_was_under_way(
    kind: str, pace: str, kills: int, tries: Starter, tmp_path: Path, capsys: Any
) -> None:
    is_full = pace == "full"
    path = write_list(tmp_path / "list.jsonl", INVITES)
    found: list[int] = []
    with (
        ledger(kind, tmp_path) as (environment, open_claims),
        vendor(tmp_path / "vendor", "--latency", "0.02") as sandbox,
    ):
        for number in range(kills):
            home = tmp_path / f"task {number}"
            home.mkdir()
            given: dict[str, Any] = {"invites": path, "message": "Hi <link>", "concurrency": CONNECTIONS}
            if not is_full:
                given["rate_limit"] = PACED
            if environment:
                given |= {"ledger_conn_id": "ledger", "campaign": f"killed-{number}"}
            plan = Plan(str(home), given, {"AIRFLOW_CONN_OMNICHAT_DEFAULT": sandbox.connection(), **environment})
            killed(tries, plan, sandbox, random.randrange(500, 3000) if is_full else random.randrange(20, 60))
            found.append(open_claims(plan))
    most = MOST_AT_FULL_PACE[kind] if is_full else MOST_PACED
    with capsys.disabled():
        print(f"\n{kind}, {pace}: open after a kill {sorted(found)}, median {median(found):g}, at most {most}")
    assert median(found) <= most, sorted(found)
