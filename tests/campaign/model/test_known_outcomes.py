"""Known outcomes, a compact mapping."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.model.known_outcomes import KnownOutcomes


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
