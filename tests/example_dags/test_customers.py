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
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.model.rows import Result, Row
from airflow_provider_omnichat.campaign.phone.number import normalise_number
from airflow_provider_omnichat.campaign.rows.files import rows_of_stream
from tests.support.folders import EXAMPLE_DAGS
from tests.support.reasons import why

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

    assert len({customer["customer_id"] for customer in due}) == 36
    assert all(FICTIONAL.fullmatch(customer["to"]) for customer in due)
    assert customers.count_outcomes(database, "run") == {"invalid": 4, "none": 36}
    assert all(reason and not FICTIONAL.search(reason) for reason in reasons(database))


def test_the_same_run_gets_the_same_list_again(customers: Any, database: Path) -> None:
    first = customers.list_due(database, DAY, NEXT, "run")

    assert customers.list_due(database, DAY, NEXT, "run") == first
    assert customers.count_outcomes(database, "run") == {"invalid": 4, "none": 36}


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
    customers.record(
        database, "run", [result(due[0], outcome), *(result(customer, "accepted") for customer in due[1:])]
    )

    assert customers.list_due(database, DAY, NEXT, "another") == due[:again]


def test_recorded_outcomes_are_kept_whole(customers: Any, database: Path) -> None:
    due = customers.list_due(database, DAY, NEXT, "run")
    ended = result(
        due[0], "rejected", message_id="id-1", status_id=10, status_name="REJECTED_DND", reason=why("it is on a list")
    )
    customers.record(database, "run", [ended])

    with closing(sqlite3.connect(database)) as connection:
        row = connection.execute(
            "SELECT number, outcome, reason, message_id, status_id, status, changed FROM invites WHERE customer_id = ?",
            (due[0]["customer_id"],),
        ).fetchone()
    assert row == (due[0]["to"], "rejected", "it is on a list", "id-1", 10, "REJECTED_DND", ended.at)


def test_what_another_run_has_taken_up_is_not_overwritten(customers: Any, database: Path) -> None:
    due = customers.list_due(database, DAY, NEXT, "run")
    first = [result(customer, "not_sent") for customer in due]
    customers.record(database, "run", first)
    again = customers.list_due(database, DAY, NEXT, "another")
    customers.record(database, "another", [result(customer, "accepted") for customer in again])

    customers.record(database, "run", first)

    assert again == due
    assert customers.count_outcomes(database, "another") == {"accepted": 36, "invalid": 4}


def test_open_are_those_with_whom_something_is_left_to_do(customers: Any, database: Path) -> None:
    due = customers.list_due(database, DAY, NEXT, "run")
    outcomes = ["unknown", "not_sent", "held", "accepted", "rejected", "duplicate", "suppressed"]
    customers.record(database, "run", [result(due[at], outcome) for at, outcome in enumerate(outcomes)])

    named = [customer["customer_id"] for customer in due]
    assert customers.list_open(database, "run") == [
        f"{named[0]} unknown",
        f"{named[1]} not_sent",
        f"{named[2]} held",
        *(f"{name} none" for name in named[7:]),
    ]


def test_list_is_a_file_for_its_owner_alone(customers: Any, database: Path, tmp_path: Path) -> None:
    path = tmp_path / "due" / "scheduled__2026-11-20T09:00:00+00:00.csv"
    due = customers.list_due(database, DAY, NEXT, "run")
    customers.write_list(path, due[:1])
    customers.write_list(path, due)

    with path.open("rb") as file:
        assert [row.fields for row in rows_of_stream(file, path.name) if isinstance(row, Row)] == due
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_database_is_made_once(customers: Any, database: Path) -> None:
    customers.list_due(database, DAY, NEXT, "run")
    customers.make_database(database, NEXT)

    assert customers.count_outcomes(database, "run")["none"] == 36


def test_everything_lies_where_the_user_says(customers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", "/a/home")
    assert customers.example_home() == Path("/a/home/omnichat_example")
    monkeypatch.setenv("OMNICHAT_EXAMPLE_HOME", "/b/other")
    assert customers.example_home() == Path("/b/other")
    assert customers.database_path() == Path("/b/other/customers.sqlite")


def result(customer: dict[str, str], outcome: str, **more: Any) -> Result:
    return Result(1, customer["customer_id"], customer["to"], Outcome(outcome), f"{DAY}T09:00:00+00:00", **more)


def reasons(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT reason FROM invites WHERE outcome = 'invalid'")
        return [reason for (reason,) in rows]
