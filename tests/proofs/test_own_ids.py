"""
Invites with ids of ours, through a vendor that fails in every way, sent by a task that is killed.

The vendor's own log is the judge. `make proof-ids`.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.airflow_versions import needs_store
from tests.support.killed_campaigns import FAULTS, judge, rows_below, run_with_kills, write_list
from tests.support.tries import Plan, Starter, starter
from tests.support.vendor import Vendor, vendor

pytestmark = needs_store
KILLS = 10

Ending = tuple[dict[str, Any], int, int]
"""How the last try ended, how many were killed, and how many there were."""


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
        run_tries: Callable[[Starter, Plan, Vendor], Ending],
        *,
        invites: int,
        seed: int = 1,
        faults: tuple[str, ...] = FAULTS,
        lag: float = 0.2,
        **given: Any,
    ) -> None:
        """Run it to its end; *extra* is of the connection, *lag* of the logs, *given* are arguments of the operator."""
        home, begin = self._home, time.monotonic()
        logs = ("--logs-lag", str(lag), "--delivery-after", f"{lag + 0.1}-{lag + 0.4}")
        options = [*logs, *(part for fault in faults for part in ("--fault", fault))]
        with vendor(home / "vendor", "--repeated-ids", repeated_ids, "--seed", str(seed), *options) as sandbox:
            environment = {
                "AIRFLOW_CONN_OMNICHAT_DEFAULT": sandbox.connection(timeout=2, log_delay=10 * lag, **extra),
                "AIRFLOW_CONN_LEDGER": json.dumps({"conn_type": "sqlite", "host": str(home / "ledger.sqlite")}),
            }
            arguments = {
                "invites": write_list(home / "list.jsonl", invites),
                "message": "Hello {name}, follow us at <link>",
                "link": "https://t.me/acme_bot?start={customer_id}",
                "sender": "ACME",
                "results_path": str(home / "results"),
                "key_column": "customer_id",
                "retry_budget": 30.0,
                **given,
            }
            (home / "task").mkdir()
            plan = Plan(str(home / "task"), arguments, environment)
            self.last, self.kills, tried = run_tries(self._tries, plan, sandbox)
            self.receipts = sandbox.receipts()
        self.rows = rows_below(home / "results")
        self.sms = Counter(receipt["to"] for receipt in self.receipts if receipt["accepted"])
        self.hit_again = [times for times in self.sms.values() if times > 1]
        self.in_doubt = {row.to for row in self.rows if row.outcome == "unknown"}
        self.suppressed = sum(receipt["suppressed"] for receipt in self.receipts)
        told = f"{repeated_ids}: {self.kills} kills, {tried} tries, {len(self.sms)} people reached, {self.hit_again} of"
        told += f" them again, {self.suppressed} repeats suppressed, {len(self.in_doubt)} in doubt"
        with self._capsys.disabled():
            print(f"\n{told}, {time.monotonic() - begin:.0f} s")


@pytest.fixture
def campaign(tmp_path: Path, tries: Starter, capsys: Any) -> Campaign:
    return Campaign(tmp_path, tries, capsys)


def killed(kills: int, invites: int, seed: int) -> Callable[[Starter, Plan, Vendor], Ending]:
    """Kill so many tries at random moments."""
    return lambda tries, plan, vendor: run_with_kills(tries, plan, vendor, random.Random(seed), kills, invites)


def killed_after_each_repeat(tries: Starter, plan: Plan, sandbox: Vendor) -> Ending:
    """Kill four tries, each as soon as the vendor has a request whose id it had before."""

    def repeats() -> int:
        ids = Counter(receipt["message_id"] for receipt in sandbox.receipts())
        return ids.total() - len(ids)

    kills = number_of_try = 0
    while True:
        number_of_try += 1
        before, running = repeats(), tries.start(Plan(plan.home, plan.given, plan.environment, number_of_try))
        while running.runs() and (kills == 4 or repeats() == before):
            time.sleep(0.01)
        if running.kill():
            kills += 1
            continue
        ended = dict(running.wait())
        if ended["state"] != "up_for_retry":
            return ended, kills, number_of_try


TABLE = {"ledger_conn_id": "ledger", "campaign": "welcome"}
WHOLE = [
    pytest.param(mode, ledger, 2000, KILLS, seed, marks=pytest.mark.proof, id=f"{mode}, {name}, {seed}")
    for mode in ("late", "at-once")
    for name, ledger in {"state store": {}, "sqlite": TABLE}.items()
    for seed in (1, 2)
]
SMALL = pytest.param("late", TABLE, 200, 2, 1, marks=pytest.mark.slow, id="small")


@pytest.mark.parametrize(("repeated_ids", "ledger", "invites", "kills", "seed"), [SMALL, *WHOLE])
def test_with_idempotent_sending_nobody_stays_in_doubt(
    campaign: Campaign, repeated_ids: str, ledger: dict[str, Any], invites: int, kills: int, seed: int
) -> None:
    on = {"idempotent_sending": True}
    campaign.run(repeated_ids, on, killed(kills, invites, seed), invites=invites, seed=seed, **ledger)
    judge(invites, campaign.receipts, campaign.rows, campaign.last)
    assert campaign.kills == kills
    assert campaign.in_doubt == set()
    assert campaign.suppressed, "nothing that the vendor had taken was sent again"


@pytest.mark.parametrize(("repeated_ids", "ledger", "invites", "kills", "seed"), WHOLE)
def test_without_it_whoever_the_vendor_has_taken_is_found(
    campaign: Campaign, repeated_ids: str, ledger: dict[str, Any], invites: int, kills: int, seed: int
) -> None:
    looked_up = {"on_unknown": "lookup", **ledger}
    campaign.run(repeated_ids, {}, killed(kills, invites, seed), invites=invites, seed=seed, **looked_up)
    judge(invites, campaign.receipts, campaign.rows, campaign.last)
    assert campaign.kills == kills
    # The others never reached the vendor. That the logs do not have them is no proof of it, so they stay in doubt.
    assert campaign.in_doubt & campaign.sms.keys() == set()
    assert not campaign.suppressed, "an invite was sent again"


@pytest.mark.proof
@pytest.mark.parametrize("ledger", [{}, TABLE], ids=["state store", "sqlite"])
def test_a_vendor_that_ignores_ids_is_noticed_and_hits_one_person_twice_at_most(
    campaign: Campaign, ledger: dict[str, Any]
) -> None:
    campaign.run("ignored", {"idempotent_sending": True}, killed(KILLS, 2000, 2), invites=2000, seed=2, **ledger)
    assert campaign.last["state"] == "failed"
    assert "idempotent_sending" in campaign.last["error"]
    assert campaign.hit_again in ([], [2])


@pytest.mark.parametrize(
    ("ledger", "lag"),
    [
        pytest.param(TABLE, 0.2, marks=pytest.mark.slow, id="sqlite"),
        pytest.param(TABLE, 4, marks=pytest.mark.proof, id="sqlite, slow logs"),
        pytest.param({}, 4, marks=pytest.mark.proof, id="state store, slow logs"),
    ],
)
def test_nor_does_a_kill_between_a_repeat_and_what_the_logs_say_of_it_hit_another(
    campaign: Campaign, ledger: dict[str, Any], lag: float
) -> None:
    faults = ("drop-after:0.5",)
    on = {"idempotent_sending": True}
    campaign.run("ignored", on, killed_after_each_repeat, invites=20, faults=faults, lag=lag, **ledger)
    assert campaign.kills
    assert campaign.last["state"] == "failed"
    assert campaign.hit_again in ([], [2])
