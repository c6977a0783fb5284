"""A SQL ledger between processes: tasks that race for the same list, and tasks that are killed."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.ledger.interface import CERTAINLY_NOT_SENT, IN_DOUBT, Entry
from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from tests.support.patience import PATIENCE_SECONDS
from tests.support.sql_claims import CAMPAIGN, answer_of, claims_of
from tests.support.sql_servers import Target
from tests.support.sql_spies import Spied

# New processes, which share nothing with this one; what they need is imported once for all.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__, "psycopg", "psycopg2", "pymysql"])


def _race(
    target: Target, table: str, owners: Sequence[str], rounds: int, size: int, retake: frozenset[Outcome | None]
) -> list[list[set[str]]]:
    """Let processes claim the same lists at the same moments; give what each won in each round."""
    barrier = PROCESSES.Barrier(len(owners))
    answers = PROCESSES.Queue()
    processes = [
        PROCESSES.Process(target=_racer, args=(target, table, owner, rounds, size, retake, barrier, answers, place))
        for place, owner in enumerate(owners)
    ]
    for process in processes:
        process.start()
    won = dict(answers.get(timeout=PATIENCE_SECONDS) for _ in processes)
    for process in processes:
        process.join(PATIENCE_SECONDS)
    failures = [value for value in won.values() if isinstance(value, str)]
    assert not failures, failures
    return [won[place] for place in range(len(owners))]


def _racer(
    target: Target,
    table: str,
    owner: str,
    rounds: int,
    size: int,
    retake: frozenset[Outcome | None],
    barrier: Any,
    answers: Any,
    place: int,
) -> None:
    chance = random.Random(place)
    won = []
    try:
        for number in range(rounds):
            campaign = f"round {number}"
            claims = claims_of(size, campaign)
            chance.shuffle(claims)
            block = chance.choice((size, size // 3, 7))
            ledger = SqlLedger(target.database(), campaign, owner, table)
            barrier.wait(PATIENCE_SECONDS)
            free: set[str] = set()
            for start in range(0, size, block):
                part = claims[start : start + block]
                taken = ledger.claim(part, retake)
                got = {claim.recipient for claim in part} - set(taken)
                ledger.record({recipient: Entry.now(Outcome.ACCEPTED, answer_of()) for recipient in got})
                free |= got
            ledger.flush()
            ledger.close()
            won.append(free)
        answers.put((place, won))
    except BaseException as error:
        answers.put((place, "".join(traceback.format_exception(error))))
        barrier.abort()


def _deadlocks(target: Target) -> object:
    if target.dialect != "postgresql":
        return None
    return target.run("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")


def _assert_each_won_once(won: list[list[set[str]]], rounds: int, size: int) -> None:
    for number in range(rounds):
        everybody = [recipient for process in won for recipient in process[number]]
        assert len(everybody) == size, f"round {number}: {len(everybody)} claims of {size} recipients"
        assert len(set(everybody)) == size


@pytest.mark.parametrize("scale", [1, pytest.param(10, marks=pytest.mark.proof)])
class TestRaces:
    def test_tasks_that_race_for_the_same_list_never_both_get_one(
        self, any_isolation: Target, table: str, scale: int
    ) -> None:
        rounds = 6 * scale
        before = _deadlocks(any_isolation)
        won = _race(any_isolation, table, ["a", "b", "c"], rounds, 150, CERTAINLY_NOT_SENT)
        _assert_each_won_once(won, rounds, 150)
        assert _deadlocks(any_isolation) == before, "each costs a second, and a block that is written again"
        rows = any_isolation.run(f"SELECT COUNT(*) FROM {table} WHERE outcome = 'accepted'")
        assert rows == [(rounds * 150,)]

    @pytest.mark.parametrize("before", [Outcome.NOT_SENT, None])
    def test_what_may_be_taken_again_is_taken_again_by_one(
        self, any_isolation: Target, table: str, before: Outcome | None, scale: int
    ) -> None:
        rounds = 4 * scale
        for number in range(rounds):
            campaign = f"round {number}"
            ledger = SqlLedger(any_isolation.database(), campaign, "the same task", table)
            claims = claims_of(60, campaign)
            ledger.claim(claims, CERTAINLY_NOT_SENT)
            if before is not None:
                ledger.record({claim.recipient: Entry.now(before) for claim in claims})
            ledger.flush()
            ledger.close()
        owners = ["the same task"] * 3 if before is None else ["a", "b", "c"]
        won = _race(any_isolation, table, owners, rounds, 60, CERTAINLY_NOT_SENT | IN_DOUBT)
        _assert_each_won_once(won, rounds, 60)


def _claim_until_killed(target: Target, table: str, said: Any, moment: str) -> None:
    def die(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    inserts: list[int] = []

    def die_at_the_second_insert(sql: str, _: Any) -> None:
        inserts.extend([1] * sql.startswith("INSERT"))
        if len(inserts) == 2:
            die()

    spies: Mapping[str, dict[str, Any]] = {
        "between two inserts": {"on_execute": die_at_the_second_insert},
        "before the commit": {"on_commit": die},
        "after the commit": {"after_commit": die},
        "at random": {},
    }
    ledger = SqlLedger(
        target.database(lambda connection: Spied(connection, **spies[moment])), CAMPAIGN, "the same task", table
    )
    claims = claims_of(6000)
    size = 2000 if moment != "at random" else 60
    for start in range(0, len(claims), size):
        part = claims[start : start + size]
        assert ledger.claim(part, CERTAINLY_NOT_SENT) == {}
        said.send([claim.recipient for claim in part])
        ledger.record({claim.recipient: Entry.now(Outcome.ACCEPTED, answer_of()) for claim in part[::2]})
    time.sleep(PATIENCE_SECONDS)


class TestKilled:
    def killed(self, target: Target, table: str, moment: str, after: float | None) -> set[str]:
        """Kill a process that claims; return what the ledger said it had."""
        heard, said = PROCESSES.Pipe(duplex=False)
        process = PROCESSES.Process(target=_claim_until_killed, args=(target, table, said, moment))
        process.start()
        said.close()
        told: set[str] = set()
        try:
            if after is not None:
                told.update(heard.recv())
                time.sleep(after)
                process.kill()
            while True:
                told.update(heard.recv())
        except EOFError:
            process.join(PATIENCE_SECONDS)
        assert process.exitcode == -signal.SIGKILL
        return told

    @pytest.mark.parametrize(
        ("moment", "claimed"), [("between two inserts", 0), ("before the commit", 0), ("after the commit", 2000)]
    )
    def test_a_block_is_claimed_whole_or_not_at_all(
        self, target: Target, table: str, moment: str, claimed: int
    ) -> None:
        assert self.killed(target, table, moment, None) == set()
        sut = SqlLedger(target.database(), CAMPAIGN, "the same task", table)
        taken = sut.claim(claims_of(6000), CERTAINLY_NOT_SENT)
        sut.close()
        assert len(taken) == claimed
        assert all(entry.outcome is None and entry.same_task for entry in taken.values())

    @pytest.mark.parametrize(
        "after", [pytest.param(0.0, marks=pytest.mark.slow), 0.02, pytest.param(0.07, marks=pytest.mark.slow)]
    )
    def test_nothing_that_a_killed_task_claimed_is_lost(self, target: Target, table: str, after: float) -> None:
        told = self.killed(target, table, "at random", after)
        claims = claims_of(6000)
        sut = SqlLedger(target.database(), CAMPAIGN, "the same task", table)
        taken = sut.claim(claims, CERTAINLY_NOT_SENT)
        sut.close()
        assert told <= set(taken)
        assert len(taken) - len(told) in (0, 60), "at most the block whose claim had not returned"
        assert all(entry.same_task and entry.outcome in (None, Outcome.ACCEPTED) for entry in taken.values())
        other = SqlLedger(target.database(), CAMPAIGN, "another", table)
        assert len(other.claim(claims, CERTAINLY_NOT_SENT | IN_DOUBT)) == 6000
        other.close()
