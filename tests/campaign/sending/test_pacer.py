"""The pace, shown on a model: the real pacer, workers and a server in virtual time, so that minutes take moments."""

from __future__ import annotations

import asyncio
import random
import selectors
from bisect import bisect_left
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from itertools import pairwise
from time import perf_counter
from typing import Any

import pytest

from airflow_provider_omnichat.api.retry import Backoff
from airflow_provider_omnichat.campaign.sending.pacer import Pacer

LATENCY = 0.02
CONCURRENCY = 32
POSSIBLE = CONCURRENCY / LATENCY
FEW_WORKERS = 8
POSSIBLE_FOR_FEW = FEW_WORKERS / LATENCY

OK = "ok"
UNREACHABLE = "unreachable"
REFUSED = "refused"
Answer = tuple[str, float | None]
Server = Callable[[float], Answer]


class VirtualLoop(asyncio.SelectorEventLoop):
    """Never waits: when nothing is ready, the clock jumps to the next timer."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(self.Jump(self))

    def time(self) -> float:
        return self.now

    class Jump(selectors.DefaultSelector):
        def __init__(self, loop: VirtualLoop) -> None:
            super().__init__()
            self._loop = loop

        def select(self, timeout: float | None = None) -> list[Any]:
            assert timeout is not None, "everybody waits and no timer is set"
            # A timer must not be missed by rounding.
            self._loop.now += timeout + 1e-9 if timeout > 0 else 0.0
            return []


def in_virtual_time(main: Callable[[], Coroutine[Any, Any, None]], seed: int = 1) -> None:
    random.seed(seed)
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


class Task:
    """What a Sender does with a pacer: so many workers, and one at a time takes an invite and waits for its turn."""

    def __init__(
        self,
        server: Server,
        invites: int | None = None,
        rate_limit: float | None = None,
        workers: int = CONCURRENCY,
    ) -> None:
        self.clock = asyncio.get_running_loop().time
        self.pacer = Pacer(rate_limit, clock=self.clock)
        self.stopped = asyncio.Event()
        self.sent: list[float] = []
        self.answers: list[tuple[float, str]] = []
        self._server = server
        self._workers = workers
        self._left: Iterator[int] = iter(range(invites if invites is not None else 10**9))
        self._next = asyncio.Lock()

    async def run(self, seconds: float = 300.0) -> None:
        asyncio.get_running_loop().call_later(seconds, self.stopped.set)
        await asyncio.gather(*(self._work() for _ in range(self._workers)))

    async def _work(self) -> None:
        while not self.stopped.is_set():
            async with self._next:
                if next(self._left, None) is None:
                    return
                began = await self.pacer.turn(self.stopped)
            while began is not None and not await self._taken(began):
                began = await self.pacer.turn(self.stopped)

    async def _taken(self, began: float) -> bool:
        self.sent.append(began)
        await asyncio.sleep(LATENCY / 2)
        kind, retry_after = self._server(self.clock())
        await asyncio.sleep(LATENCY / 2)
        self.answers.append((self.clock(), kind))
        if kind == REFUSED:
            self.pacer.refused(began, retry_after)
        elif kind == UNREACHABLE:
            self.pacer.unreachable(began, retry_after)
        else:
            self.pacer.accepted()
        return kind == OK

    def count(self, kind: str, begin: float = 0.0, end: float = 1e9) -> int:
        return sum(1 for at, was in self.answers if was == kind and begin <= at < end)

    def refused_share(self, begin: float = 0.0, end: float = 1e9) -> float:
        refused = self.count(REFUSED, begin, end)
        return refused / max(1, refused + self.count(OK, begin, end))

    @property
    def ended(self) -> float:
        return max(at for at, kind in self.answers if kind == OK)


def token_bucket(limit: Callable[[float], float] | float, retry_after: float | None = None) -> Server:
    """So many a second, and as many again at once after a quiet second."""
    limit_at = limit if callable(limit) else lambda _now: limit
    state = {"tokens": limit_at(0.0), "filled": 0.0}

    def server(now: float) -> Answer:
        state["tokens"] = min(limit_at(now), state["tokens"] + (now - state["filled"]) * limit_at(now))
        state["filled"] = now
        if state["tokens"] < 1:
            return REFUSED, retry_after
        state["tokens"] -= 1
        return OK, None

    return server


def fixed_window(limit: int, retry_after: float | None = None) -> Server:
    """So many in each second of the server's clock."""
    taken: dict[int, int] = {}

    def server(now: float) -> Answer:
        second = int(now + 0.37)
        taken[second] = taken.get(second, 0) + 1
        return (OK, None) if taken[second] <= limit else (REFUSED, retry_after)

    return server


def by_chance(share: float, retry_after: float | None = None, seed: int = 7) -> Server:
    """Refuses so many whatever the pace."""
    chance = random.Random(seed)
    return lambda _now: (REFUSED, retry_after) if chance.random() < share else (OK, None)


def without_connection(begin: float, end: float) -> Server:
    return lambda now: (UNREACHABLE, None) if begin <= now < end else (OK, None)


def accept(_now: float) -> Answer:
    return OK, None


@pytest.mark.parametrize("retry_after", [None, 1.0])
@pytest.mark.parametrize("limit", [5, 50, 200, pytest.param(1000, marks=pytest.mark.slow)])
def test_token_bucket_is_used_up_with_few_refusals(limit, retry_after):
    async def main():
        invites = min(20_000, 60 * limit)
        task = Task(token_bucket(limit, retry_after), invites)
        await task.run()
        assert task.count(OK) == invites
        assert task.ended < 1.15 * invites / limit
        assert task.count(REFUSED, end=1.0) <= 2 * CONCURRENCY
        # Below ten a second, each single refusal is more than a per cent of the first minute's.
        assert task.refused_share(2.0) < (0.06 if limit == 5 else 0.035)

    in_virtual_time(main)


@pytest.mark.parametrize("retry_after", [None, 1.0])
@pytest.mark.parametrize("limit", [5, 50, 200, pytest.param(1000, marks=pytest.mark.slow)])
def test_fixed_window_is_used_up_with_few_refusals(limit, retry_after):
    async def main():
        invites = min(20_000, 60 * limit)
        task = Task(fixed_window(limit, retry_after), invites)
        await task.run()
        assert task.count(OK) == invites
        # A pause of a second loses the rest of one window and part of the next; nothing can be had instead.
        assert task.ended < (1.15 if retry_after is None else 1.25) * invites / limit
        assert task.count(REFUSED, end=1.0) <= 2 * CONCURRENCY
        assert task.refused_share(2.0) < (0.06 if limit == 5 else 0.03)

    in_virtual_time(main)


@pytest.mark.parametrize("seed", [1, 2, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("apart", [0.0, 5.0])
@pytest.mark.parametrize("limit", [20, 50, pytest.param(200, marks=pytest.mark.slow)])
def test_tasks_that_share_a_limit_share_it_fairly(limit, apart, seed):
    async def main():
        server = token_bucket(limit)
        tasks = [Task(server) for _ in range(3)]

        async def start(number: int) -> None:
            # Processes: never at the very same moment.
            await asyncio.sleep(number * apart + random.uniform(0, 0.01))
            await tasks[number].run(90 - number * apart)

        await asyncio.gather(*(start(number) for number in range(3)))
        begin = 2 * apart + 2
        accepted = sum(task.count(OK, begin) for task in tasks)
        refused = sum(task.count(REFUSED, begin) for task in tasks)
        shares = [task.count(OK, 60.0) for task in tasks]
        assert accepted > 0.85 * limit * (90 - begin)
        assert refused < 0.05 * accepted
        assert max(shares) < 2 * min(shares)

    in_virtual_time(main, seed)


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1])
def test_refusals_by_chance_do_not_slow_down(share):
    async def main():
        task = Task(by_chance(share), workers=FEW_WORKERS)
        await task.run(60)
        assert task.count(OK) > 0.7 * 60 * POSSIBLE_FOR_FEW
        assert task.count(OK, 40) > 0.7 * 20 * POSSIBLE_FOR_FEW

    in_virtual_time(main)


def test_refusals_by_chance_do_not_wear_the_pace_down_in_the_long_run():
    async def main():
        task = Task(by_chance(0.1, seed=1), workers=FEW_WORKERS)
        await task.run(120)
        assert min(task.count(OK, begin, begin + 20) for begin in range(0, 120, 20)) > 0.4 * 20 * POSSIBLE_FOR_FEW

    in_virtual_time(main)


def test_unavailable_for_a_second_pauses_all_and_keeps_the_pace():
    async def main():
        chance = by_chance(0.003)
        task = Task(lambda now: (UNREACHABLE, 1.0) if chance(now)[0] == REFUSED else (OK, None))
        await task.run(60)
        pauses = [after - before for before, after in pairwise(task.sent) if after - before > 0.5]
        assert len(pauses) > 20
        assert min(pauses) > 0.97
        assert task.pacer.rate is None
        assert task.count(OK) > 0.95 * POSSIBLE * (60 - sum(pauses))

    in_virtual_time(main)


@pytest.mark.parametrize("retry_after", [None, 1.0])
@pytest.mark.parametrize("limit", [50, 200, pytest.param(600, marks=pytest.mark.slow)])
def test_changed_limit_is_found_again_within_twenty_seconds(limit, retry_after):
    async def main():
        task = Task(token_bucket(lambda now: limit / 2 if 30 <= now < 60 else limit, retry_after))
        await task.run(100)
        assert task.count(OK, 50, 60) > 0.85 * 10 * limit / 2
        assert task.refused_share(45, 60) < 0.05
        assert task.count(OK, 80, 100) > 0.85 * 20 * limit
        assert task.refused_share(80, 100) < 0.05

    in_virtual_time(main)


def test_without_connection_waits_grow_and_full_speed_comes_back_at_once():
    async def main():
        task = Task(without_connection(5, 150))
        await task.run(200)
        waits = [after - before for before, after in pairwise(task.sent) if after - before > 0.2]
        assert waits[0] < 1.0
        assert waits[:6] == sorted(waits[:6])
        assert 15.0 < max(waits) <= 30.1
        back = min(at for at, kind in task.answers if kind == OK and at > 150)
        assert back < 150 + 31
        assert task.count(OK, back, back + 5) > 0.99 * 5 * POSSIBLE

    in_virtual_time(main)


@pytest.mark.parametrize("rate_limit", [1, 10, 200, 1000])
def test_ceiling_holds_for_every_second(rate_limit):
    async def main():
        chance = by_chance(0.02)
        task = Task(chance, rate_limit=rate_limit)
        await task.run(30)
        most = max(bisect_left(task.sent, at + 1) - number for number, at in enumerate(task.sent))
        assert most <= 1.02 * rate_limit + 1

    in_virtual_time(main)


def test_a_small_account_is_not_flooded_at_the_start():
    async def main():
        task = Task(token_bucket(10), invites=100)
        await task.run()
        # All workers at once would have 22 and more refused before the first answer.
        assert task.count(REFUSED, end=1.0) <= 15

    in_virtual_time(main)


def test_a_start_of_which_nothing_is_heard_goes_on():
    async def main():
        pacer = Pacer(clock=asyncio.get_running_loop().time)
        stopped = asyncio.Event()
        async with asyncio.timeout(10):
            for _ in range(40):
                assert await pacer.turn(stopped) is not None

    in_virtual_time(main)


def test_a_task_that_comes_later_gets_its_share_within_a_minute():
    async def main():
        server = token_bucket(50)
        tasks = [Task(server), Task(server)]

        async def later() -> None:
            await asyncio.sleep(20)
            await tasks[1].run(90)

        await asyncio.gather(tasks[0].run(110), later())
        shares = [task.count(OK, 80.0) for task in tasks]
        assert max(shares) < 2 * min(shares)

    in_virtual_time(main)


def test_late_sleeps_are_made_up_for_by_a_few_turns_at_most():
    async def main():
        clock = asyncio.get_running_loop().time
        pacer = Pacer(200, clock=clock)
        stopped = asyncio.Event()
        await pacer.turn(stopped)
        await asyncio.sleep(10)
        begin = clock()
        turns = [await pacer.turn(stopped) for _ in range(10)]
        assert sum(1 for turn in turns if turn is not None and turn - begin < 0.001) <= 5

    in_virtual_time(main)


def test_hours_without_refusal_do_not_break_the_growth():
    async def main():
        task = Task(token_bucket(50), invites=500)
        await task.run()
        assert task.pacer.rate is not None
        await asyncio.sleep(10 * 3600)
        task.pacer.accepted()
        assert task.pacer.rate > 50 * 0.8

    in_virtual_time(main)


def test_stop_ends_a_long_wait_within_a_quarter_of_a_second():
    async def main():
        clock = asyncio.get_running_loop().time
        pacer = Pacer(clock=clock)
        stopped = asyncio.Event()
        began = await pacer.turn(stopped)
        assert began is not None
        await asyncio.sleep(LATENCY)
        pacer.refused(began, 60.0)
        waiting = [asyncio.create_task(pacer.turn(stopped)) for _ in range(CONCURRENCY)]
        await asyncio.sleep(5)
        stopped.set()
        at = clock()
        assert await asyncio.gather(*waiting) == [None] * CONCURRENCY
        assert clock() - at <= 0.25 + 1e-6

    in_virtual_time(main)


def test_cancelled_wait_takes_no_turn_and_blocks_nobody():
    async def main():
        clock = asyncio.get_running_loop().time
        pacer = Pacer(1, clock=clock)
        stopped = asyncio.Event()
        first = await pacer.turn(stopped)
        assert first is not None
        waiting = [asyncio.create_task(pacer.turn(stopped)) for _ in range(3)]
        await asyncio.sleep(0.5)
        waiting[0].cancel()
        waiting[1].cancel()
        with suppress(asyncio.CancelledError):
            await waiting[0]
        second = await waiting[2]
        assert second == pytest.approx(first + 1.0, abs=0.05)

    in_virtual_time(main)


def test_first_refusals_of_all_are_followed_by_longer_and_longer_waits():
    async def main():
        task = Task(lambda _now: (REFUSED, None))
        task.pacer = Pacer(backoff=Backoff(budget=float("inf"), longest=4.0), clock=task.clock)
        await task.run(60)
        assert len(task.sent) < 60 * CONCURRENCY
        assert max(after - before for before, after in pairwise(task.sent)) > 2.0

    in_virtual_time(main)


def test_turns_are_cheap():
    async def main() -> float:
        pacer = Pacer()
        stopped = asyncio.Event()
        begin = perf_counter()
        for _ in range(20_000):
            await pacer.turn(stopped)
            pacer.accepted()
        return (perf_counter() - begin) / 20_000

    # Measured: a few microseconds; the bound leaves room for a busy machine.
    assert min(asyncio.run(main()) for _ in range(3)) < 20e-6
