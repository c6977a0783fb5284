"""
The customers of the example campaign, in an SQLite database: who is due for an invite, and how each invite ended.

It takes the place of your own database. ``customers.csv`` holds invented people with numbers of the ranges that
countries reserve for films and examples, written as people write them, some of them broken, missing or twice there.
"""

from __future__ import annotations

import csv
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_omnichat.campaign.model.rows import Result

INVITED_AFTER = timedelta(days=7)
"""How long after the sign-up a customer is due for an invite."""

SETTLED = ("accepted", "rejected", "invalid", "duplicate", "suppressed")
"""Outcomes after which there is nothing left to do; with any other, or none, an invite is open."""

_COLUMNS = ("customer_id", "to", "first_name")

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
    reason      TEXT,   -- why it was not accepted
    message_id  TEXT,   -- the vendor's, as the status
    status_id   INTEGER,
    status      TEXT,
    changed     TEXT NOT NULL
);
CREATE TABLE opt_outs (
    phone TEXT PRIMARY KEY   -- international format
);
"""

_OPTS_OUT = 45
"""Every so many-th customer has said no to SMS."""


def example_home() -> Path:
    """Return the directory that the example writes to: ``OMNICHAT_EXAMPLE_HOME``, or one in Airflow's home."""
    home = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()
    return Path(os.environ.get("OMNICHAT_EXAMPLE_HOME", home / "omnichat_example"))


def database_path() -> Path:
    """Return the file of the database."""
    return example_home() / "customers.sqlite"


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
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    opt_outs = _numbers(rows[_OPTS_OUT::_OPTS_OUT])
    with _transaction(unfinished) as database:
        database.executescript(_SCHEMA)
        database.executemany("INSERT INTO customers VALUES (?, ?, ?, ?, ?)", [(*row[:4], f"{row[4]}") for row in rows])
        database.executemany("INSERT OR IGNORE INTO opt_outs VALUES (?)", [(number,) for number in opt_outs])
    unfinished.rename(path)


def list_due(path: Path, since: date, until: date, run_id: str) -> list[dict[str, str]]:
    """
    Return the customers to be invited now, and enter each of them in ``invites``.

    Customers whose number is broken are entered with that as their outcome and not given. Those whom another run has
    sent an invite, or may have, are left alone; what that run certainly did not send is taken up.

    :param since: the first day on which they are due.
    :param until: the day after the last.
    :param run_id: who asks; the same run gets the same customers again, as long as nothing is recorded.
    :return: ``customer_id``, ``to`` and ``first_name`` of each.
    """
    from airflow_provider_omnichat.api.errors import InvalidInviteError
    from airflow_provider_omnichat.campaign.phone.number import normalise_number

    due: list[dict[str, str]] = []
    with _transaction(path) as database:
        for customer_id, name, country, phone in _customers_due(database, since, until, run_id):
            try:
                # Here and not in the operator, which knows one country for all rows (default_region).
                number = normalise_number(phone, country or None)
            except InvalidInviteError as error:
                _enter(database, run_id, customer_id, None, "invalid", str(error))
                continue
            _enter(database, run_id, customer_id, number)
            due.append({"customer_id": customer_id, "to": number, "first_name": name.split()[0]})
    return due


def list_all(path: Path) -> list[dict[str, str]]:
    """Return all customers, with their numbers as they wrote them: the operator reads those of each country."""
    with _transaction(path) as database:
        rows = database.execute(
            "SELECT customer_id, phone, name, country FROM customers ORDER BY customer_id"
        ).fetchall()
    return [
        {"customer_id": customer_id, "to": phone, "first_name": name.split()[0], "country": country}
        for customer_id, phone, name, country in rows
    ]


def write_list(path: Path, rows: Sequence[dict[str, str]]) -> None:
    """Write the rows of :func:`list_due` or :func:`list_all` as CSV, into a file that only its owner may read."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.new")
    unfinished.touch(mode=0o600)
    with unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else _COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    unfinished.rename(path)


def record(path: Path, run_id: str, results: Iterable[Result]) -> None:
    """
    Write how the invites of a run ended, all of them or none.

    :param results: the operator's result rows, with the customer's id as their key.
    """
    with _transaction(path) as database:
        database.executemany(
            "UPDATE invites SET number = ?, outcome = ?, reason = ?, message_id = ?, status_id = ?, status = ?,"
            # What this run did not send, another may have taken up since.
            " changed = ? WHERE customer_id = ? AND run_id = ?",
            (
                (
                    row.to,
                    f"{row.outcome}",
                    row.error,
                    row.message_id,
                    row.status_id,
                    row.status_name,
                    row.at,
                    row.key,
                    run_id,
                )
                for row in results
            ),
        )


def count_outcomes(path: Path, run_id: str) -> dict[str, int]:
    """Return the number of invites of a run by outcome, ``none`` for those without one."""
    with _transaction(path) as database:
        return dict(
            database.execute(
                "SELECT coalesce(outcome, 'none'), count(*) FROM invites WHERE run_id = ? GROUP BY 1 ORDER BY 1",
                (run_id,),
            )
        )


def list_open(path: Path, run_id: str) -> list[str]:
    """Return the customers of a run whose invite is not settled, with its outcome: ``C-1001 not_sent``."""
    with _transaction(path) as database:
        rows = database.execute(
            "SELECT customer_id, coalesce(outcome, 'none') FROM invites WHERE run_id = ? ORDER BY customer_id",
            (run_id,),
        ).fetchall()
    return [f"{customer_id} {outcome}" for customer_id, outcome in rows if outcome not in SETTLED]


def _numbers(rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Return the usable numbers of customers, in international format."""
    from airflow_provider_omnichat.api.errors import InvalidInviteError
    from airflow_provider_omnichat.campaign.phone.number import normalise_number

    for _, _, country, phone, *_ in rows:
        try:
            yield normalise_number(phone, str(country) or None)
        except InvalidInviteError:
            continue


def _customers_due(database: sqlite3.Connection, since: date, until: date, run_id: str) -> Sequence[tuple[str, ...]]:
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


def _enter(
    database: sqlite3.Connection,
    run_id: str,
    customer_id: str,
    number: str | None,
    outcome: str | None = None,
    reason: str | None = None,
) -> None:
    database.execute(
        "REPLACE INTO invites (customer_id, run_id, number, outcome, reason, changed) VALUES (?, ?, ?, ?, ?, ?)",
        (customer_id, run_id, number, outcome, reason, datetime.now(UTC).isoformat(timespec="milliseconds")),
    )


@contextmanager
def _transaction(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, timeout=30)) as database, database:
        database.execute("BEGIN IMMEDIATE")
        yield database
