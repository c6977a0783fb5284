"""Two tasks at the same time, each a process of its own: on one limited account, and on one ledger."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.airflow_versions import needs_store
from tests.support.killed_campaigns import write_list
from tests.support.sql_servers import postgresql
from tests.support.tries import Plan, Starter, starter
from tests.support.vendor import vendor

pytestmark = needs_store

LIMIT = 50
EACH = 1500


@pytest.fixture(scope="module")
def tries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starter]:
    with starter(tmp_path_factory.mktemp("airflow")) as made:
        yield made


def plan(home: Path, name: str, environment: dict[str, str], **given: Any) -> Plan:
    (home / name).mkdir()
    return Plan(str(home / name), {"message": "Hello <link>", "retry_budget": 60.0, **given}, environment)


@pytest.mark.proof
@pytest.mark.parametrize("retry_after", [False, True], ids=["no Retry-After", "Retry-After"])
def test_two_tasks_settle_near_the_limit_of_their_account(
    tries: Starter, tmp_path: Path, capsys: Any, retry_after: bool
) -> None:
    options = ["--rate-limit", str(LIMIT), *(["--rate-limit-retry-after"] if retry_after else [])]
    with vendor(tmp_path / "vendor", *options) as sandbox:
        environment = {"AIRFLOW_CONN_OMNICHAT_DEFAULT": sandbox.connection()}
        lists = [tmp_path / "0.jsonl", tmp_path / "1.jsonl"]
        write_list(lists[0], 2 * EACH)
        rows = lists[0].read_text().splitlines(keepends=True)
        for number, path in enumerate(lists):
            path.write_text("".join(rows[number * EACH : (number + 1) * EACH]))
        running = [
            tries.start(plan(tmp_path, f"task {number}", environment, invites=str(path)))
            for number, path in enumerate(lists)
        ]
        ended = [one.wait(600) for one in running]
        receipts = sandbox.receipts()
    for one in ended:
        assert one["state"] == "success", one["error"]
    # Until the first of the two is done; the burst that the vendor lets through at once is not its rate.
    moments = sorted(datetime.fromisoformat(one["time"]).timestamp() for one in receipts if one["accepted"])
    both = moments[LIMIT : int(2 * EACH * 0.9)]
    rate = (len(both) - 1) / (both[-1] - both[0])
    refused = sum(one["http_status"] == 429 for one in receipts) / len(receipts)
    told = f"{rate:.1f}/s of {LIMIT}, {refused:.1%} refused, {moments[-1] - moments[0]:.0f} s for {2 * EACH}"
    with capsys.disabled():
        print(f"\n{told}")
    assert Counter(one["to"] for one in receipts if one["accepted"]).most_common(1)[0][1] == 1
    # With the first half minute, in which each looks for its pace.
    assert 0.7 * LIMIT <= rate <= 1.1 * LIMIT, told
    assert refused < 0.05, told


@pytest.mark.parametrize(
    "database", [pytest.param("sqlite", marks=pytest.mark.proof), pytest.param("postgresql", marks=pytest.mark.slow)]
)
def test_two_tasks_with_one_list_and_one_campaign_send_each_number_once(
    tries: Starter, tmp_path: Path, database: str, capsys: Any
) -> None:
    if database == "sqlite":
        race(tries, tmp_path, {"conn_type": "sqlite", "host": str(tmp_path / "ledger.sqlite")}, capsys)
        return
    with postgresql() as server:
        fields = {"host": server["host"], "login": server["user"], "schema": server["dbname"]}
        race(tries, tmp_path, {"conn_type": "postgres", **fields}, capsys)


def race(tries: Starter, home: Path, ledger: dict[str, str], capsys: Any) -> None:
    count = 5000
    with vendor(home / "vendor", "--latency", "0.005") as sandbox:
        environment = {
            "AIRFLOW_CONN_OMNICHAT_DEFAULT": sandbox.connection(),
            "AIRFLOW_CONN_LEDGER": json.dumps(ledger),
        }
        path = write_list(home / "list.jsonl", count)
        given = {"invites": path, "ledger_conn_id": "ledger", "campaign": "welcome"}
        running = [
            tries.start(plan(home, name, environment, **given, task_id=name, results_path=str(home / "results")))
            for name in ("one", "other")
        ]
        ended = [one.wait(600) for one in running]
        accepted = sandbox.accepted()
    with capsys.disabled():
        print("\n", [one["manifest"]["counts"] for one in ended])
    assert len(accepted) == count
    assert max(accepted.values()) == 1
    for one in ended:
        assert one["state"] == "success", one["error"]
        assert one["manifest"]["rows"] == count
    assert sum(one["manifest"]["sent_this_try"] for one in ended) == count
