"""The customers' database of the example: its data, who is due, and how outcomes are kept."""

from __future__ import annotations

import csv
import re
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.api.errors import InvalidInviteError
from airflow_provider_omnichat.campaign.phone import normalise_number
from tests.example_dags.conftest import EXAMPLE_DAGS

DAY = date(2026, 11, 20)
NEXT = DAY + timedelta(days=1)

# Ranges that nobody has: Ofcom, ARCEP, Bundesnetzagentur, PTS, NANPA (555-01xx) and ACMA keep them for films and
# examples.
FICTIONAL = re.compile(
    r"447700900\d{3}|33639980\d{3}|3363998\d{4}|4917139200\d\d|49176040690\d\d|46701740(60[5-9]|6[1-9]\d)"
    r"|1\d{3}55501\d\d|61491(570006|57\d{4})"
)


def rows() -> list[dict[str, str]]:
    with (EXAMPLE_DAGS / "customers.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def number_of(row: dict[str, str]) -> str | None:
    try:
        return normalise_number(row["phone"], row["country"] or None)
    except InvalidInviteError:
        return None


@pytest.fixture
def database(customers: Any, tmp_path: Path) -> Path:
    path = tmp_path / "somewhere" / "customers.sqlite"
    customers.make_database(path, DAY)
    return path


def test_there_are_a_few_hundred_customers_of_several_countries() -> None:
    assert len(rows()) == 360
    assert len({row["customer_id"] for row in rows()}) == 360
    assert {row["country"] for row in rows()} == {"GB", "FR", "DE", "SE", "US", "AU", ""}


def test_some_numbers_are_broken_missing_or_there_twice() -> None:
    numbers = Counter(number_of(row) for row in rows())
    assert numbers.pop(None) == 36
    assert sum(not row["phone"] for row in rows()) == 9
    assert sorted(Counter(numbers.values()).items()) == [(1, 298), (2, 13)]


def test_every_number_is_of_a_range_reserved_for_fiction() -> None:
    odd = [row["customer_id"] for row in rows() if (number := number_of(row)) and not FICTIONAL.fullmatch(number)]
    assert odd == []


def test_a_day_gives_an_entry_to_each_customer_who_is_due(customers: Any, database: Path) -> None:
    due = customers.list_due(database, DAY, NEXT, "run")

    assert len(due) == 35
    assert len({customer["number"] for customer in due}) == 35
    assert customers.count_outcomes(database, "run") == {"duplicate": 1, "invalid": 4, "open": 35}
    assert all(reason and not FICTIONAL.search(reason) for reason in reasons(database))


def test_the_same_run_gets_the_same_list_again(customers: Any, database: Path) -> None:
    first = customers.list_due(database, DAY, NEXT, "run")

    assert customers.list_due(database, DAY, NEXT, "run") == first
    assert customers.count_outcomes(database, "run") == {"duplicate": 1, "invalid": 4, "open": 35}


def test_another_run_leaves_alone_whom_the_first_has_in_hand(customers: Any, database: Path) -> None:
    customers.list_due(database, DAY, NEXT, "run")

    assert customers.list_due(database, DAY, NEXT, "another") == []


@pytest.mark.parametrize(
    ("outcome", "again"), [("accepted", 0), ("rejected", 0), ("unknown", 0), ("duplicate", 0), ("not_sent", 1)]
)
def test_only_what_was_certainly_not_sent_is_given_again(
    customers: Any, database: Path, outcome: str, again: int
) -> None:
    due = customers.list_due(database, DAY, NEXT, "run")
    endings = {customer["customer_id"]: customers.Ending("accepted") for customer in due}
    customers.record(database, endings | {due[0]["customer_id"]: customers.Ending(outcome)})

    assert customers.list_due(database, DAY, NEXT, "another") == due[:again]


def test_number_invited_on_another_day_is_not_invited_again(customers: Any, database: Path) -> None:
    seen: set[str] = set()
    for days in range(-4, 5):
        day = DAY + timedelta(days=days)
        due = customers.list_due(database, day, day + timedelta(days=1), f"run {day}")
        numbers = {customer["number"] for customer in due}
        assert not numbers & seen
        seen |= numbers
        customers.record(database, {customer["customer_id"]: customers.Ending("accepted") for customer in due})
    assert len(seen) == 311


def test_recorded_outcomes_are_kept_whole(customers: Any, database: Path) -> None:
    due = customers.list_due(database, DAY, NEXT, "run")
    ending = customers.Ending("rejected", "REJECTED_DND: on a list", "id-1", {"groupId": 5, "id": 10})
    customers.record(database, {due[0]["customer_id"]: ending})

    with closing(sqlite3.connect(database)) as connection:
        row = connection.execute(
            "SELECT outcome, reason, message_id, status FROM invites WHERE customer_id = ?", (due[0]["customer_id"],)
        ).fetchone()
    assert row == ("rejected", "REJECTED_DND: on a list", "id-1", '{"groupId": 5, "id": 10}')


def test_database_is_made_once(customers: Any, database: Path) -> None:
    customers.list_due(database, DAY, NEXT, "run")
    customers.make_database(database, NEXT)

    assert customers.count_outcomes(database, "run")["open"] == 35


def test_database_lies_where_the_user_says(customers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", "/a/home")
    assert customers.database_path() == Path("/a/home/example_customers.sqlite")
    monkeypatch.setenv("OMNICHAT_EXAMPLE_DATABASE", "/b/other.sqlite")
    assert customers.database_path() == Path("/b/other.sqlite")


def reasons(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT reason FROM invites WHERE outcome IN ('invalid', 'duplicate')")
        return [reason for (reason,) in rows]
