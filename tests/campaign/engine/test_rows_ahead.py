"""Rows are read in a thread, a little ahead, and none that was read is lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, TypeVar

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.api.omni import OmniInvite
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.engine.process import WorkerThread
from airflow_provider_omnichat.campaign.engine.rows_ahead import LARGEST_BLOCK, Checked, RowsAhead
from airflow_provider_omnichat.campaign.model.rows import Candidate, ListFailedError, Result, RowSourceError
from tests.support.patience import PATIENCE_SECONDS

T = TypeVar("T")
INVALID = Result(1, None, "", Outcome.INVALID, "")


def candidate(position: int) -> Candidate:
    invite = OmniInvite("41793026727", "Hi <link>", "<link>", "A", "F")
    return Candidate(position, None, invite, str(position), "41793026727")


async def take_when_ready(ahead: RowsAhead, news: asyncio.Event, count: int) -> list[Checked]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (rows := ahead.take(count)) and not ahead.has_ended:
            news.clear()
            await news.wait()
    return rows


def with_rows_of(checked: Iterable[Checked], work: Callable[[RowsAhead, asyncio.Event], Coroutine[Any, Any, T]]) -> T:
    async def main() -> T:
        reader, news = WorkerThread("reader"), asyncio.Event()
        ahead = RowsAhead(iter(checked), reader, news)
        done = await work(ahead, news)
        await ahead.close()
        reader.close()
        return done

    return asyncio.run(main())


def all_taken(checked: Iterable[Checked]) -> tuple[list[Checked], OmnichatError | None]:
    async def work(ahead: RowsAhead, news: asyncio.Event) -> tuple[list[Checked], OmnichatError | None]:
        rows: list[Checked] = []
        while not ahead.has_ended:
            rows += await take_when_ready(ahead, news, 3)
        return rows, ahead.failure

    return with_rows_of(checked, work)


def failing(error: Exception) -> Iterator[Checked]:
    yield INVALID
    yield candidate(2)
    raise error


def test_all_rows_come_in_their_order():
    rows: list[Checked] = [candidate(position) if position % 3 else INVALID for position in range(5000)]
    assert all_taken(rows) == (rows, None)


def test_what_was_read_is_kept_when_the_list_fails():
    rows, failure = all_taken(failing(OSError("s3://user:secret@bucket broke")))
    assert rows == [INVALID, candidate(2)]
    assert isinstance(failure, ListFailedError)
    assert "OSError" in str(failure)
    assert "secret" not in str(failure)
    assert isinstance(all_taken(failing(RowSourceError("no column")))[1], RowSourceError)


def test_a_list_of_any_length_is_read_a_little_ahead():
    read = 0

    def endless() -> Iterator[Checked]:
        nonlocal read
        while True:
            read += 1
            yield candidate(read)

    async def work(ahead: RowsAhead, news: asyncio.Event) -> None:
        await take_when_ready(ahead, news, 10)
        await ahead.close()

    with_rows_of(endless(), work)
    assert read <= LARGEST_BLOCK


def test_a_block_counts_what_can_be_sent():
    rows: list[Checked] = [INVALID, candidate(2), INVALID, candidate(4), candidate(5)]

    async def work(ahead: RowsAhead, news: asyncio.Event) -> list[list[Checked]]:
        ahead.give_back(rows)
        return [ahead.take(2), ahead.take(0), ahead.take(2)]

    assert with_rows_of([], work) == [rows[:4], [], rows[4:]]


def test_what_is_given_back_is_taken_first_and_in_its_order():
    async def work(ahead: RowsAhead, news: asyncio.Event) -> list[int]:
        block: list[Checked] = []
        while len(block) < 3:
            block += await take_when_ready(ahead, news, 1)
        ahead.give_back(block[1:])
        return [row.position for row in ahead.take(2)]

    assert with_rows_of([candidate(position) for position in range(4)], work) == [1, 2]


def test_a_list_that_lets_wait_for_its_next_row_keeps_nobody_waiting_for_those_before_it():
    goes_on = threading.Event()

    def rows() -> Iterator[Checked]:
        yield candidate(1)
        goes_on.wait(PATIENCE_SECONDS)
        yield candidate(2)

    async def work(ahead: RowsAhead, news: asyncio.Event) -> list[Checked]:
        first = await take_when_ready(ahead, news, 9)
        goes_on.set()
        return first + await take_when_ready(ahead, news, 9)

    assert with_rows_of(rows(), work) == [candidate(1), candidate(2)]
