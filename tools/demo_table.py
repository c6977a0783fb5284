"""What became of the demo's campaign: read from the customers' database, and compared with what the sandbox got."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_omnichat.api.privacy import mask_number

if TYPE_CHECKING:
    from demo_processes import SandboxAddress


class Result:
    """The outcomes of a run, in the database that the DAG writes to."""

    def __init__(self, database: Path, sandbox: SandboxAddress) -> None:
        self.database = database
        self.sandbox = sandbox

    def rows(self, question: str) -> list[tuple[Any, ...]]:
        """Read from the database; nothing while it is not there."""
        if not self.database.exists():
            return []
        with closing(sqlite3.connect(f"{self.database.as_uri()}?mode=ro", uri=True, timeout=10)) as connection:
            return connection.execute(question).fetchall()

    def progress(self) -> str:
        """Return how many of the invites have reached the sandbox."""
        invites = self.rows(
            "SELECT count(*) FROM invites WHERE outcome IS NULL OR outcome NOT IN ('invalid', 'duplicate')"
        )
        if not invites or not invites[0][0]:
            return "Airflow is starting"
        answered = self.sandbox.outbox(0)["totals"]["by_http_status"].get("200", 0)
        return f"{answered} of {invites[0][0]} invites answered"


def print_result(result: Result) -> bool:
    """Print the table, and return whether everything adds up."""
    invites = result.rows(
        "SELECT customer_id, phone, number, outcome, reason, message_id FROM invites JOIN customers USING (customer_id)"
        " ORDER BY customer_id"
    )
    outcomes = Counter(row[3] for row in invites)
    (days,) = result.rows(
        "SELECT min(date(signed_up, '+7 days')), max(date(signed_up, '+7 days'))"
        " FROM customers JOIN invites USING (customer_id)"
    )
    print(f"\nDue for an invite on {days[0]}{'' if days[0] == days[1] else ' to ' + days[1]} {len(invites):27}")
    _row("sent", outcomes.pop("accepted", 0))
    for outcome, title in _TITLES.items():
        _row(title, outcomes.pop(outcome, 0))
        for customer_id, phone, number, ended, reason, _ in invites:
            if ended == outcome:
                print(f"      {customer_id}  {mask_number(number or phone) or '(empty)':15} {_short(reason, phone)}")
    _row("without an outcome", outcomes.pop(None, 0))
    for outcome, count in outcomes.items():
        _row(str(outcome), count)

    outbox = result.sandbox.outbox()
    totals, sms = outbox["totals"], [invite for invite in outbox["invites"] if invite["accepted"]]
    agree = {(row[2], row[5]) for row in invites if row[3] == "accepted"} == {
        (invite["to"], invite["message_id"]) for invite in sms
    }
    refused = totals["by_http_status"].get("429", 0)
    print("\nWhat the sandbox says")
    _row("requests" + (f", {refused} of them answered 429 and repeated" if refused else ""), totals["requests"])
    _row("SMS, " + ("each as in the database" if agree else "NOT THOSE OF THE DATABASE"), len(sms))
    _row("numbers that got the same message twice", totals["same_message_twice"])
    _row("numbers that got several messages", totals["several_messages"])
    unsettled = any(row[3] not in ("accepted", *_TITLES) for row in invites)
    return bool(invites) and agree and not totals["numbers_sent_twice"] and not unsettled


_TITLES = {"rejected": "rejected", "invalid": "broken number", "duplicate": "number there twice"}


def _row(title: str, count: int) -> None:
    print(f"  {title:50}{count:6}")


def _short(reason: str, phone: str) -> str:
    """Shorten a reason to what other columns do not say; the database has all of it."""
    reason = reason.removeprefix(mask_number(phone)).removeprefix("The vendor rejected the invite: ")
    return reason.partition("; the vendor's advice")[0].strip()
