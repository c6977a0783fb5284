"""What the task state store keeps of a person in doubt: a key that fits, a masked number, and never a whole one."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_omnichat.api.identity import identity_of
from airflow_provider_omnichat.campaign.ledger.interface import Claim
from airflow_provider_omnichat.campaign.ledger.task_state import Person

NUMBER = identity_of("41790000017")
AT = datetime(2026, 3, 4, 10, 15, tzinfo=UTC)


def person(key: str | None, end: datetime = AT) -> Person:
    return Person.of(Claim("recipient", NUMBER, key), AT, end)


@pytest.mark.parametrize(
    ("key", "kept"),
    [
        (None, None),
        ("", None),
        ("  ", None),
        ("+41 79 000 00 17", None),  # the number itself
        ("0790000017", None),
        ("vip 5: 41790000017", "vip 5: ***"),
        ("customer-20000017", "customer-20000017"),
        (" customer  17\n", "customer 17"),
        ("x" * 5000, "x" * 59 + "…"),
        ('\ud800 \x00 \n "\\', '"\\'),
        ("\U0001f600" * 60, "\U0001f600" * 60),
    ],
)
def test_a_key_is_cut_and_has_no_number_in_it(key: str | None, kept: str | None) -> None:
    assert person(key)[:2] == (kept, "41790****17")


@given(st.none() | st.text(max_size=100), st.booleans())
def test_it_takes_no_more_than_it_says_and_is_read_as_it_was(key: str | None, twice: bool) -> None:
    written = person(key, AT + timedelta(days=1) if twice else AT)
    assert len(json.dumps({"3999": written.to_json()})) <= written.size
    assert NUMBER not in json.dumps(written.to_json())
    assert Person.from_json(written.to_json()) == written


@pytest.mark.parametrize("junk", ["", "x", [], [None], [None, None], [None, None, "x"], [None, None, 1e99]], ids=str)
def test_what_cannot_be_read_is_an_error(junk: Any) -> None:
    with pytest.raises((IndexError, OverflowError, TypeError, ValueError)):
        Person.from_json(junk)
