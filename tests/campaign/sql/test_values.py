"""A condition that finds a piece of text, where nothing in the text is a wildcard."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_omnichat.campaign.sql.values import contains

TEXTS = st.text(alphabet="aAbB%_!\\'\"[]ÄäßİK ", max_size=6)


def finds(value: str, text: str) -> bool:
    condition, pattern = contains("?", text, "?")
    with closing(sqlite3.connect(":memory:")) as connection:
        ((found,),) = connection.execute(f"SELECT {condition}", [value, pattern])
    return bool(found)


def small(text: str) -> str:
    """As SQLite does it: English letters alone."""
    return "".join(letter.lower() if letter.isascii() else letter for letter in text)


@given(TEXTS, TEXTS)
def test_it_is_found_where_it_stands_and_nowhere_else(value: str, text: str) -> None:
    assert finds(value, text) == (small(text) in small(value))


@given(TEXTS, TEXTS, TEXTS)
def test_it_is_found_in_the_middle(before: str, text: str, after: str) -> None:
    assert finds(before + text + after, text)
