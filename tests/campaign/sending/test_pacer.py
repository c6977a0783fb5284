"""The pace, shown on a model: the real pacer and sender, and a server, in virtual time."""

from __future__ import annotations

import asyncio
import random
import sys
from bisect import bisect_left
from contextlib import suppress
from itertools import pairwise
from types import FrameType

import pytest

from airflow_provider_omnichat.api.retry import Backoff
from airflow_provider_omnichat.campaign.sending.pacer import Pacer
from tests.support.pace_model import (
    BY_CHANCE,
    CONCURRENCY,
    LATENCY,
    OK,
    REFUSED,
    UNREACHABLE,
    Task,
    by_chance,
    fixed_window,
    in_virtual_time,
    token_bucket,
    without_connection,
)

FEW_WORKERS = 8
POSSIBLE_FOR_FEW = FEW_WORKERS / LATENCY


@pytest.mark.parametrize("retry_after", [None, 1.0])
@pytest.mark.parametrize("limit", [5, 50, 200, pytest.param(1000, marks=pytest.mark.slow)])
def test_token_bucket_is_used_up_with_few_refusals(limit, retry_after):
    async def main():
        invites = min(20_000, 60 * limit)
        task = Task(token_bucket(limit, retry_after), invites)
        await task.run()
        assert task.count(OK) == invites
        assert task.ended < 1.2 * invites / limit
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
        # What a window does not use is lost: after each step, and in each pause of a second.
        assert task.ended < (1.25 if retry_after is None else 1.35) * invites / limit
        assert task.count(REFUSED, end=1.0) <= 2 * CONCURRENCY
        assert task.refused_share(2.0) < (0.06 if limit == 5 else 0.03)

    in_virtual_time(main)


@pytest.mark.parametrize("seed", [1, 2, pytest.param(3, marks=pytest.mark.proof)])
@pytest.mark.parametrize("apart", [0.0, 5.0])
@pytest.mark.parametrize("limit", [20, 50, pytest.param(200, marks=pytest.mark.slow)])
def test_tasks_that_share_a_limit_share_it_fairly(limit, apart, seed):
    async def main():
        server = token_bucket(limit)
        tasks = [Task(server) for _ in range(3)]

        async def start(number: int) -> None:
            # Processes: never at the very same moment.
            await asyncio.sleep(number * apart + random.uniform(0, 0.01))
            await tasks[number].run(150 - number * apart)

        await asyncio.gather(*(start(number) for number in range(3)))
        begin = 2 * apart + 2
        accepted = sum(task.count(OK, begin) for task in tasks)
        refused = sum(task.count(REFUSED, begin) for task in tasks)
        shares = [task.count(OK, 60.0) for task in tasks]
        assert accepted > 0.85 * limit * (150 - begin)
        # Seven invites a second are too few to know soon that they are too many.
        assert refused < (0.1 if limit == 20 else 0.06) * (accepted + refused)
        # Who comes later begins slowly.
        assert max(shares) < (4 if apart else 2.5) * min(shares)

    in_virtual_time(main, seed)


@pytest.mark.parametrize("retry_after", [None, 1.0])
@pytest.mark.parametrize(
    "share", [pytest.param(0.01, marks=pytest.mark.slow), 0.03, pytest.param(0.05, marks=pytest.mark.slow)]
)
def test_refusals_by_chance_do_not_slow_down(share, retry_after):
    async def main():
        task = Task(by_chance(share, retry_after), workers=FEW_WORKERS)
        await task.run(60)
        assert min(task.count(OK, begin, begin + 20) for begin in (0, 20, 40)) > 0.6 * 20 * POSSIBLE_FOR_FEW

    in_virtual_time(main)


@pytest.mark.parametrize("retry_after", [None, 1.0])
@pytest.mark.parametrize("tasks", [1, 4])
def test_refusals_by_chance_below_a_limit_leave_most_of_it(tasks, retry_after):
    async def main():
        server = by_chance(0.03, retry_after, server=token_bucket(150, retry_after))
        running = [Task(server) for _ in range(tasks)]
        await asyncio.gather(*(task.run(60) for task in running))
        assert sum(task.count(OK, 10) for task in running) > 0.8 * 50 * 150

    in_virtual_time(main)


@pytest.mark.parametrize("seconds", [80, pytest.param(300, marks=pytest.mark.slow)])
def test_refusals_by_chance_do_not_wear_the_pace_down_in_the_long_run(seconds):
    async def main():
        task = Task(by_chance(0.05, 1.0, seed=1), workers=FEW_WORKERS)
        await task.run(seconds)
        assert min(task.count(OK, begin, begin + 20) for begin in range(0, seconds, 20)) > 0.4 * 20 * POSSIBLE_FOR_FEW

    in_virtual_time(main)


def test_without_an_answer_now_and_then_no_other_invite_waits():
    async def main():
        chance = by_chance(0.02)
        task = Task(lambda now: (UNREACHABLE, 1.0) if chance(now)[0] == BY_CHANCE else (OK, None), workers=FEW_WORKERS)
        await task.run(60)
        assert max(after - before for before, after in pairwise(task.sent)) < 0.1
        assert task.pacer.rate is None
        assert task.count(OK) > 0.95 * 0.98 * POSSIBLE_FOR_FEW * 60

    in_virtual_time(main)


@pytest.mark.parametrize("kind", [REFUSED, UNREACHABLE])
def test_where_nothing_is_taken_all_wait_as_long_as_the_vendor_asks(kind):
    async def main():
        task = Task(lambda now: (kind, 3.0) if 5 <= now < 20 else (OK, None), rate_limit=200)
        await task.run(60)
        pauses = [after - before for before, after in pairwise(task.sent) if 5.2 < after < 20]
        # What left before the first answers came back, then a few after each pause.
        assert task.count(kind, 5.5) <= 6 * 8
        assert sorted(pauses)[-4] > 2.9
        assert task.count(OK, 25) > 0.8 * 35 * 200

    in_virtual_time(main)


@pytest.mark.parametrize("retry_after", [None, 1.0])
@pytest.mark.parametrize("limit", [50, 200, pytest.param(600, marks=pytest.mark.slow)])
def test_changed_limit_is_found_again_within_twenty_seconds(limit, retry_after):
    async def main():
        task = Task(token_bucket(lambda now: limit / 2 if 30 <= now < 60 else limit, retry_after))
        await task.run(100)
        assert task.count(OK, 50, 60) > 0.7 * 10 * limit / 2
        assert task.refused_share(45, 60) < 0.05
        assert task.count(OK, 80, 100) > 0.75 * 20 * limit
        assert task.refused_share(80, 100) < 0.05

    in_virtual_time(main)


def test_without_connection_waits_grow_and_full_speed_comes_back_at_once():
    async def main():
        task = Task(without_connection(5, 150), workers=FEW_WORKERS)
        await task.run(190)
        waits = [after - before for before, after in pairwise(task.sent) if after - before > 0.2]
        assert waits[0] < 1.0
        assert waits[:6] == sorted(waits[:6])
        assert 15.0 < max(waits) <= 30.1
        back = min(at for at, kind in task.answers if kind == OK and at > 150)
        assert back < 150 + 31
        assert task.count(OK, back, back + 5) > 0.99 * 5 * POSSIBLE_FOR_FEW

    in_virtual_time(main)


@pytest.mark.parametrize("rate_limit", [1, 10, 200, 1000])
def test_ceiling_holds_for_every_second(rate_limit):
    async def main():
        chance = by_chance(0.02)
        task = Task(chance, rate_limit=rate_limit)
        await task.run(10 if rate_limit == 1000 else 30)
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
        await asyncio.sleep(LATENCY)
        for _ in range(6):
            pacer.unreachable(clock(), 60.0)
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
    """A turn costs a few calls, however many there were before, and no round of the event loop."""

    def calls_of(turns: int) -> int:
        calls = 0

        def count(_frame: FrameType, event: str, _argument: object) -> None:
            nonlocal calls
            calls += event in ("call", "c_call")

        sys.setprofile(count)
        for _ in range(turns):
            with suppress(StopIteration):
                pacer.turn(stopped).send(None)
                raise AssertionError("it waited")
            pacer.accepted()
        sys.setprofile(None)
        return calls

    pacer, stopped = Pacer(), asyncio.Event()
    calls_of(1000)  # the start is over
    few = calls_of(1000)
    assert few / 1000 < 50
    calls_of(10_000)
    assert calls_of(1000) == few


def test_a_pacer_that_is_held_gives_no_turn_until_it_is_let_go():
    async def main() -> None:
        pacer, stopped = Pacer(rate_limit=100, clock=asyncio.get_running_loop().time), asyncio.Event()
        assert pacer.turn_at_once(stopped) is not None
        pacer.hold(True)
        waiting = asyncio.create_task(pacer.turn(stopped))
        await asyncio.sleep(0.6)
        assert not waiting.done()
        pacer.hold(False)
        assert await asyncio.wait_for(waiting, 5) is not None

    in_virtual_time(main)
