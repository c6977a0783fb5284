"""
Invites with ids of ours, through a vendor that fails in every way, sent by a task that is killed.

The vendor's own log is the judge. `make proof-ids`.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.airflow_versions import needs_store
from tests.support.killed_campaigns import FAULTS, judge, rows_below, run_with_kills, write_list
from tests.support.tries import Plan, Starter, starter
from tests.support.vendor import vendor

pytestmark = needs_store
LOGS = ("--logs-lag", "0.2", "--delivery-after", "0.3-0.6")


@pytest.fixture(scope="module")
def tries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starter]:
    with starter(tmp_path_factory.mktemp("airflow")) as made:
        yield made


class Campaign:
    """A campaign by the SMS API, and what came of it."""

    def __init__(self, home: Path, tries: Starter, capsys: Any) -> None:
        self._home = home
        self._tries = tries
        self._capsys = capsys

    def run(
        self,
        repeated_ids: str,
        extra: dict[str, Any],
        *,
        invites: int,
        kills: int,
        seed: int,
        kill_at_repeats: bool = False,
        **given: Any,
    ) -> None:
        """Run it to its end; *extra* is of the connection, and *given* are arguments of the operator."""
        home, chance, begin = self._home, random.Random(seed), time.monotonic()
        faults = [part for fault in FAULTS for part in ("--fault", fault)]
        if kill_at_repeats:
            faults = ["--fault", "drop-after:0.5"]
        options = ("--repeated-ids", repeated_ids, "--seed", str(seed), *LOGS, *faults)
        with vendor(home / "vendor", *options) as sandbox:
            environment = {
                "AIRFLOW_CONN_OMNICHAT_DEFAULT": sandbox.connection(timeout=2, log_delay=2, **extra),
                "AIRFLOW_CONN_LEDGER": json.dumps({"conn_type": "sqlite", "host": str(home / "ledger.sqlite")}),
            }
            arguments = {
                "invites": write_list(home / "list.jsonl", invites),
                "message": "Hello {name}, follow us at <link>",
                "link": "https://t.me/acme_bot?start={customer_id}",
                "results_path": str(home / "results"),
                "key_column": "customer_id",
                "retry_budget": 30.0,
                **given,
            }
            (home / "task").mkdir()
            plan = Plan(str(home / "task"), arguments, environment)
            if kill_at_repeats:
                self.last, self.kills, tried = killed_at_repeats(self._tries, plan, sandbox, kills)
            else:
                self.last, self.kills, tried = run_with_kills(self._tries, plan, sandbox, chance, kills, invites)
            self.receipts = sandbox.receipts()
        self.rows = rows_below(home / "results")
        self.sms = Counter(receipt["to"] for receipt in self.receipts if receipt["accepted"])
        self.hit_twice = [times for times in self.sms.values() if times > 1]
        self.in_doubt = {row.to for row in self.rows if row.outcome == "unknown"}
        repeats = sum(receipt["suppressed"] for receipt in self.receipts)
        with self._capsys.disabled():
            print(f"\n{repeated_ids}: {self.kills} kills, {tried} tries, {len(self.sms)} people reached", end=", ")
            print(f"{repeats} repeats suppressed, {len(self.in_doubt)} in doubt, {len(self.hit_twice)} hit", end=" ")
            print(f"twice, {time.monotonic() - begin:.0f} s")


def killed_at_repeats(tries, plan, sandbox, most_kills):
    kills = number_of_try = 0
    while True:
        number_of_try += 1
        running = tries.start(Plan(plan.home, plan.given, plan.environment, number_of_try))
        before = repeats_in(sandbox)
        while running.runs() and (kills >= most_kills or repeats_in(sandbox) == before):
            time.sleep(0.005)
        if kills < most_kills and running.kill():
            kills += 1
            continue
        ended = dict(running.wait())
        if ended["state"] != "up_for_retry":
            return ended, kills, number_of_try


def repeats_in(sandbox):
    ids = [receipt["message_id"] for receipt in sandbox.receipts()]
    return len(ids) - len(set(ids))


@pytest.fixture
def campaign(tmp_path: Path, tries: Starter, capsys: Any) -> Campaign:
    return Campaign(tmp_path, tries, capsys)


STORE: dict[str, Any] = {}
TABLE = {"ledger_conn_id": "ledger", "campaign": "welcome"}
SMALL = {"invites": 200, "kills": 2, "seed": 1}
WHOLE = {"invites": 2000, "kills": 10}


def rounds(small: str) -> list[Any]:
    """One small round, and all others as a proof."""
    whole = [
        pytest.param(mode, ledger, {**WHOLE, "seed": seed}, marks=pytest.mark.proof, id=f"{mode}, {name}, {seed}")
        for mode in ("late", "at-once")
        for name, ledger in (("state store", STORE), ("sqlite", TABLE))
        for seed in (1, 2)
    ]
    return [pytest.param(small, TABLE, SMALL, marks=pytest.mark.slow, id=f"small, {small}"), *whole]


@pytest.mark.parametrize(("repeated_ids", "ledger", "size"), rounds("late"))
def test_with_idempotent_sending_nobody_stays_in_doubt(
    campaign: Campaign, repeated_ids: str, ledger: dict[str, Any], size: dict[str, int]
) -> None:
    campaign.run(repeated_ids, {"idempotent_sending": True}, **size, **ledger)
    assert campaign.kills == size["kills"]
    judge(size["invites"], campaign.receipts, campaign.rows, campaign.last)
    assert campaign.in_doubt == set()
    assert any(receipt["suppressed"] for receipt in campaign.receipts), "no invite was sent again"


@pytest.mark.parametrize(("repeated_ids", "ledger", "size"), rounds("at-once"))
def test_without_it_whoever_the_vendor_has_taken_is_found(
    campaign: Campaign, repeated_ids: str, ledger: dict[str, Any], size: dict[str, int]
) -> None:
    campaign.run(repeated_ids, {}, on_unknown="lookup", **size, **ledger)
    assert campaign.kills == size["kills"]
    judge(size["invites"], campaign.receipts, campaign.rows, campaign.last)
    assert campaign.in_doubt & campaign.sms.keys() == set()
    assert not any(receipt["suppressed"] for receipt in campaign.receipts), "an invite was sent again"


@pytest.mark.parametrize(
    "size", [pytest.param(SMALL, marks=pytest.mark.slow), pytest.param({**WHOLE, "seed": 2}, marks=pytest.mark.proof)]
)
def test_a_vendor_that_ignores_ids_is_noticed_and_hits_one_person_twice_at_most(
    campaign: Campaign, size: dict[str, int]
) -> None:
    campaign.run("ignored", {"idempotent_sending": True}, **size)
    assert campaign.last["state"] == "failed"
    assert "idempotent_sending" in campaign.last["error"]
    assert campaign.hit_twice in ([], [2])


@pytest.mark.slow
def test_a_kill_right_after_each_repeat_does_not_hit_another_person(campaign: Campaign) -> None:
    """Whoever is repeated first after a kill is whoever was repeated before it."""
    campaign.run("ignored", {"idempotent_sending": True}, invites=20, kills=4, seed=1, kill_at_repeats=True)
    assert campaign.hit_twice in ([], [2])
