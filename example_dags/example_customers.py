"""
The customers of the example campaign, in an SQLite database: who is due for an invite, and how each invite ended.

It stands for the database that you have. ``customers.csv`` holds invented people with numbers of the ranges that
countries reserve for films and examples, written as people write them, some of them broken, missing or twice there.
"""

from __future__ import annotations

import csv
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

INVITED_AFTER = timedelta(days=7)
"""How long after the sign-up a customer is due for an invite."""

_SCHEMA = """
CREATE TABLE customers (
    customer_id TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    country     TEXT NOT NULL,
    phone       TEXT NOT NULL,
    signed_up   TEXT NOT NULL
);
CREATE TABLE invites (
    customer_id TEXT PRIMARY KEY REFERENCES customers,
    run_id      TEXT NOT NULL,
    number      TEXT,   -- international format; NULL where the phone is not a number
    outcome     TEXT,   -- NULL while the run is under way
    reason      TEXT,
    message_id  TEXT,
    status      TEXT,   -- the vendor's status object, JSON
    changed     TEXT NOT NULL
);
"""


@dataclass(frozen=True)
class Ending:
    """
    How an invite ended.

    :param outcome: ``accepted``, ``rejected``, ``not_sent``, ``unknown``, ``invalid`` or ``duplicate``.
    :param reason: why it was not accepted.
    :param status: the vendor's status object.
    """

    outcome: str
    reason: str | None = None
    message_id: str | None = None
    status: dict[str, Any] | None = None


def database_path() -> Path:
    """Give ``OMNICHAT_EXAMPLE_DATABASE``, or a file in Airflow's home."""
    home = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()
    return Path(os.environ.get("OMNICHAT_EXAMPLE_DATABASE", home / "example_customers.sqlite"))


def make_database(path: Path, day: date) -> None:
    """
    Make the database unless it is there.

    :param day: a day on which customers are due; sign-ups are dated around it, so that the example works on any date.
    """
    if path.exists():
        return
    with (Path(__file__).parent / "customers.csv").open(encoding="utf-8", newline="") as file:
        rows = [
            (
                row["customer_id"],
                row["name"],
                row["country"],
                row["phone"],
                day - timedelta(int(row["signed_up_days_ago"])),
            )
            for row in csv.DictReader(file)
        ]
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.new")
    path.parent.mkdir(parents=True, exist_ok=True)
    with _transaction(unfinished) as database:
        database.executescript(_SCHEMA)
        database.executemany("INSERT INTO customers VALUES (?, ?, ?, ?, ?)", [(*row[:4], f"{row[4]}") for row in rows])
    unfinished.rename(path)


def list_due(path: Path, since: date, until: date, run_id: str) -> list[dict[str, str]]:
    """
    Give the customers to be invited now, and enter each of them in ``invites``.

    Customers whose number is broken, or stands there a second time, are entered with that as their outcome and not
    given. Those whom another run has sent an invite, or may have, are left alone; what that run certainly did not
    send is taken up.

    :param since: the first day on which they are due.
    :param until: the day after the last.
    :param run_id: who asks; the same run gets the same customers again, as long as nothing is recorded.
    :return: ``customer_id``, ``name`` and ``number`` of each.
    """
    from airflow_provider_omnichat.api.errors import InvalidInviteError
    from airflow_provider_omnichat.campaign.phone import normalise_number

    due: list[dict[str, str]] = []
    with _transaction(path) as database:
        for customer_id, name, country, phone in _customers_due(database, since, until, run_id):
            try:
                number = normalise_number(phone, country or None)
            except InvalidInviteError as error:
                _enter(database, run_id, customer_id, None, Ending("invalid", error.problem))
                continue
            if other := _holder(database, number, customer_id):
                _enter(database, run_id, customer_id, number, Ending("duplicate", f"the number of {other}"))
                continue
            _enter(database, run_id, customer_id, number, None)
            due.append({"customer_id": customer_id, "name": name, "number": number})
    return due


def record(path: Path, endings: dict[str, Ending]) -> None:
    """
    Write how invites ended, all of them or none.

    :param endings: by customer id.
    """
    with _transaction(path) as database:
        for customer_id, ending in endings.items():
            database.execute(
                "UPDATE invites SET outcome = ?, reason = ?, message_id = ?, status = ?, changed = ?"
                " WHERE customer_id = ?",
                (*_columns(ending), _now(), customer_id),
            )


def count_outcomes(path: Path, run_id: str) -> dict[str, int]:
    """Give how many invites of a run ended in which way; those without an outcome count as ``open``."""
    with _transaction(path) as database:
        return dict(
            database.execute(
                "SELECT coalesce(outcome, 'open'), count(*) FROM invites WHERE run_id = ? GROUP BY 1 ORDER BY 1",
                (run_id,),
            )
        )


def _customers_due(database: sqlite3.Connection, since: date, until: date, run_id: str) -> Iterable[tuple[str, ...]]:
    # The order decides which task of the mapping gets whom: it must be the same when the run is cleared.
    return database.execute(
        """
        SELECT customer_id, name, country, phone
        FROM customers LEFT JOIN invites USING (customer_id)
        WHERE signed_up >= ? AND signed_up < ?
          AND (run_id IS NULL OR outcome IN ('not_sent', 'invalid') OR (run_id = ? AND outcome IS NULL))
        ORDER BY customer_id
        """,
        (f"{since - INVITED_AFTER}", f"{until - INVITED_AFTER}", run_id),
    ).fetchall()


def _holder(database: sqlite3.Connection, number: str, customer_id: str) -> str | None:
    row = database.execute(
        "SELECT customer_id FROM invites WHERE number = ? AND customer_id <> ? AND outcome IS NOT 'duplicate'",
        (number, customer_id),
    ).fetchone()
    return row[0] if row else None


def _enter(
    database: sqlite3.Connection, run_id: str, customer_id: str, number: str | None, ending: Ending | None
) -> None:
    database.execute(
        "REPLACE INTO invites (customer_id, run_id, number, outcome, reason, message_id, status, changed)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (customer_id, run_id, number, *(_columns(ending) if ending else (None,) * 4), _now()),
    )


def _columns(ending: Ending) -> tuple[str | None, ...]:
    status = None if ending.status is None else json.dumps(ending.status)
    return ending.outcome, ending.reason, ending.message_id, status


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@contextmanager
def _transaction(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, timeout=30)) as database, database:
        database.execute("BEGIN IMMEDIATE")
        yield database
