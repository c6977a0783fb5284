"""What a killed worker leaves in doubt although it was never sent: as little as is claimed ahead."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from pathlib import Path

import pytest

from airflow_provider_omnichat.sandbox.server import Sandbox
from tests.support.airflow_versions import HAS_STATE_STORE
from tests.support.tries import Plan, Starter, starter

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not HAS_STATE_STORE, reason="tries in processes of their own need Airflow 3.3"),
]
PEOPLE = 4000


@pytest.fixture(scope="module")
def tries(tmp_path_factory):
    with starter(tmp_path_factory.mktemp("airflow")) as start:
        yield start


def open_claims(path: Path) -> set[str]:
    with sqlite3.connect(path) as database:
        return {
            number for (number,) in database.execute("SELECT recipient FROM omnichat_invites WHERE outcome IS NULL")
        }


@pytest.mark.parametrize("moment", ["at the start", "in the steady state"])
@pytest.mark.parametrize("pace", [5, 1000])
def test_a_kill_leaves_no_more_open_than_is_sent_in_a_moment(
    tries: Starter, at_sandbox: Sandbox, tmp_path: Path, pace: int, moment: str
):
    people = tmp_path / "people.csv"
    people.write_text("to\n" + "".join(f"+4179{position:07d}\n" for position in range(3_000_000, 3_000_000 + PEOPLE)))
    ledger = tmp_path / "ledger.sqlite"
    environment = {
        "AIRFLOW_CONN_OMNICHAT_DEFAULT": os.environ["AIRFLOW_CONN_OMNICHAT_DEFAULT"],
        "AIRFLOW_CONN_LEDGER": json.dumps({"conn_type": "sqlite", "host": str(ledger)}),
    }
    given = {"invites": str(people), "message": "Hi <link>", "ledger_conn_id": "ledger", "rate_limit": pace}
    first = tries.start(Plan(str(tmp_path), given, environment))
    begun = 1 if moment == "at the start" else 3 * pace
    while at_sandbox.totals.requests < begun:
        time.sleep(0.005)
    assert first.kill()
    left, sent = open_claims(ledger), {receipt.to for receipt in at_sandbox.accepted}
    never_sent = left - sent
    # A block of a quarter of a second, or of what a claim takes, and what of the one before it still waited; the first
    # ones are small.
    most = 20 if moment == "at the start" else pace
    assert len(never_sent) <= max(20, most), f"{len(left)} open, {len(never_sent)} of them never sent"
    print(f"{pace}/s, {moment}: {len(left)} open claims, {len(never_sent)} never sent")

    # A later try takes them for doubts, and says so in the ledger.
    resumed = tries.start(Plan(str(tmp_path), {**given, "rate_limit": None}, environment, 2)).wait()
    assert resumed["state"] == "failed", resumed
    assert open_claims(ledger) == set()
    with sqlite3.connect(ledger) as database:
        found = dict(database.execute("SELECT outcome, count(*) FROM omnichat_invites GROUP BY outcome"))
    assert found == {"accepted": PEOPLE - len(left), "unknown": len(left)}
    assert len(at_sandbox.accepted) == len({receipt.to for receipt in at_sandbox.accepted}), "nobody got two"
