"""Recipients in little memory: seen or not, and with which outcome."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_omnichat.api.identity import recipient_key
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.model.known_recipients import KnownOutcomes, Seen, entry_in


def test_each_is_new_once() -> None:
    keys = [recipient_key("c", str(index)) for index in range(20_000)]
    seen = Seen()
    assert all(seen.add(key) for key in keys)
    random.Random(1).shuffle(keys)
    assert not any(seen.add(key) for key in keys)
    assert all(seen.add(recipient_key("c", str(index))) for index in range(20_000, 40_000))


@given(st.lists(st.text("0f", min_size=20, max_size=20), max_size=60))
def test_it_is_a_set_also_of_keys_that_look_like_pieces_of_each_other(keys: list[str]) -> None:
    seen, expected = Seen(), set[str]()
    for key in keys:
        assert seen.add(key) is (key not in expected)
        expected.add(key)


def test_an_entry_is_found_at_its_own_beginning_only() -> None:
    heap = bytearray(b"ab" + b"ba" + b"aa")
    assert entry_in(heap, b"ba", 2) == 2
    assert entry_in(heap, b"bb", 2) == -1
    assert entry_in(heap, b"aa", 2) == 4


def test_a_key_takes_about_eleven_bytes() -> None:
    seen = Seen()
    for index in range(20_000):  # the heaps themselves
        seen.add(recipient_key("c", str(index)))
    tracemalloc.start()
    for index in range(20_000, 100_000):
        seen.add(recipient_key("c", str(index)))
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 80_000 * 13


@given(st.lists(st.tuples(st.binary(min_size=3, max_size=3), st.sampled_from(Outcome)), max_size=200))
def test_known_outcomes_are_a_mapping(pairs):
    """Keys of two bytes in repetition, so that entries run into each other as badly as they can."""
    known, expected = KnownOutcomes(), {}
    for raw, outcome in pairs:
        key = (b"ab" + bytes([raw[0] % 2]) * 6 + bytes([raw[1] % 2]) * 6 + bytes([raw[2] % 3, 0])).hex()
        known.add(key, outcome)
        expected[key] = outcome
    assert dict(known) == expected
    assert len(known) == len(expected)
    assert all(key in known for key in expected)


@pytest.mark.parametrize("key", [None, "", "zz", "ab", "00" * 17, 5, "00" * 16])
def test_what_is_not_known_is_not_in_known_outcomes(key):
    known = KnownOutcomes()
    known.add("01" * 16, Outcome.ACCEPTED)
    assert key not in known
    assert known.get(key) is None
    with pytest.raises(KeyError):
        known[key]
    with pytest.raises(ValueError):
        known.add("00" * 15, Outcome.ACCEPTED)
