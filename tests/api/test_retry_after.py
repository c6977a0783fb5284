"""``Retry-After`` as servers, and proxies on the way, write it: with both clients."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_omnichat.api.errors import InviteNotSentError
from airflow_provider_omnichat.api.wire import HttpResponse
from tests.support.both_clients import CLIENTS, not_sent, send
from tests.support.wire_server import answer


def date(seconds: float) -> str:
    return formatdate(time.time() + seconds, usegmt=True)


def read(value: str) -> float | None:
    return HttpResponse(503, {"retry-after": value}, b"").retry_after


WRITTEN = [
    (["1.5"], 1.5),
    ([".5"], 0.5),
    (["2."], 2),
    (["  7 "], 7),
    (["\t7\t"], 7),
    (["0"], 0),
    (["1, 5"], 5),
    (["5,1"], 5),
    (["1", "5"], 5),
    (["5", "1.5"], 5),
    (["0.5", "1.5", "1"], 1.5),
    (["soon", "5"], 5),
    (["5", "-1"], 5),
    (["5", ""], 5),
]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("values", "seconds"), WRITTEN)
def test_it_is_read_and_of_several_the_longest_counts(wire, hook_for, client, status, values, seconds):
    server = wire(answer(status, {}, *(f"Retry-After: {value}" for value in values)))
    error = not_sent(hook_for(server), client)
    assert (error.http_status, error.retry_after) == (status, seconds)
    assert len(server.seen) == 1


@pytest.mark.parametrize("client", CLIENTS)
def test_dates_are_read_beside_dates_and_numbers(wire, hook_for, client):
    before = time.time()
    for values in (
        [date(600)],
        [date(600), date(5)],
        [date(5), date(600)],
        [date(600), "7"],
        ["7", date(600)],
        [f"7, {date(600)}, 1.5"],
        ["600", date(-600)],
        [f"{date(-600)}, 600"],
    ):
        server = wire(answer(503, {}, *(f"Retry-After: {value}" for value in values)))
        wait = not_sent(hook_for(server), client).retry_after
        assert wait is not None
        assert 600 - (time.time() - before) - 1 <= wait <= 600, values


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    "value",
    ["soon", "-1", "-0.5", "NaN", "inf", "Infinity", "1e9", "0x10", "1_000", "²", "٣", "1.5.5", ".", ",", "", "5 s"],
)
def test_nonsense_is_none_and_a_503_with_it_stays_in_doubt(wire, hook_for, client, value):
    assert read(value) is None
    if value.isascii():
        (error,) = send(hook_for(wire(answer(503, {}, f"Retry-After: {value}"))), client)
        assert not isinstance(error, InviteNotSentError)


@pytest.mark.parametrize("value", ["9" * 400, "9" * 5000, "9" * 400 + ".5", f"{'9' * 400}, 1"])
def test_a_huge_one_is_long_and_finite(value):
    assert read(value) == 999_999_999


def test_the_three_forms_of_dates_are_read():
    assert read("Sun, 06 Nov 1994 08:49:37 GMT") == 0
    assert read("Sunday, 06-Nov-94 08:49:37 GMT") == 0
    assert read("Sun Nov  6 08:49:37 1994") == 0
    assert read("Sunday, 06-Nov-94 08:49:37 GMT, 3, Sun Nov  6 08:49:37 1994") == 3


@given(st.lists(st.floats(0, 1e6).map(lambda value: f"{value:.3f}"), min_size=1, max_size=5))
def test_of_any_numbers_the_largest_counts_in_whatever_order(values):
    assert read(", ".join(values)) == read(",".join(reversed(values))) == max(map(float, values))


@given(st.text(max_size=40))
def test_any_text_is_a_finite_wait_or_none(text):
    wait = read(text)
    assert wait is None or 0 <= wait < float("inf")


def test_of_a_huge_header_only_the_beginning_is_read():
    assert read("7," + "a," * 500_000 + "8") == 7
