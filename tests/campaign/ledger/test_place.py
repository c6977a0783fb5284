"""The invites of a SQL ledger, a page at a time."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from airflow_provider_omnichat.api.identity import recipient_key
from airflow_provider_omnichat.api.outcomes import Delivery, Outcome
from airflow_provider_omnichat.api.reasons import ReasonCode
from airflow_provider_omnichat.campaign.ledger.admin import LedgerAdmin
from airflow_provider_omnichat.campaign.ledger.audit import LedgerAudit
from airflow_provider_omnichat.campaign.ledger.frequency_cap import CappedLedger, FrequencyCap
from airflow_provider_omnichat.campaign.ledger.interface import CERTAINLY_NOT_SENT, Claim, Entry
from airflow_provider_omnichat.campaign.ledger.place import LedgerPlace
from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from airflow_provider_omnichat.campaign.model.delivery import FinalStatus
from airflow_provider_omnichat.campaign.model.pages import Order, PageError, PageQuery
from airflow_provider_omnichat.campaign.model.place import PlaceError
from tests.support.ledger_homes import accepted
from tests.support.reasons import why
from tests.support.row_pages import paged
from tests.support.sql_servers import Target

PEOPLE = [f"4179303{at:04d}" for at in range(60)]
OWNER, OTHER = "dag/run/task/1", "dag/run/task/2"


@pytest.fixture(params=["sqlite3", "psycopg2", "psycopg"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    if request.param == "sqlite3":
        return Target("sqlite", "sqlite3", {"database": str(tmp_path / "ledger.sqlite")})
    pytest.importorskip(request.param)
    return Target("postgresql", request.param, request.getfixturevalue("postgresql_server"))


@pytest.fixture
def campaign() -> str:
    return f"welcome-{uuid4().hex}"


def key(at: int) -> str:
    return ["100%", "a_b", "ÄPFEL", "<b>"][at] if at < 4 else f"c{at}"


def claimed(target: Target, table: str, campaign: str, owner: str, places: range) -> None:
    """Every fourth is accepted, rejected, in doubt, and open."""
    ledger = SqlLedger(target.database(), campaign, owner, table)
    made = {at: Claim(recipient_key(campaign, PEOPLE[at]), PEOPLE[at], key(at)) for at in places}
    ledger.claim(list(made.values()), CERTAINLY_NOT_SENT)
    ends = [
        (Outcome.ACCEPTED, None),
        (Outcome.REJECTED, why("no", ReasonCode.REJECTED_BY_VENDOR)),
        (Outcome.UNKNOWN, why("no answer")),
    ]
    for at, claim in made.items():
        if at % 4 < 3:
            outcome, reason = ends[at % 4]
            answer = accepted(claim.identity) if reason is None else None
            ledger.record({claim.recipient: Entry.now(outcome, answer, reason)})
    ledger.flush()
    ledger.close()


@pytest.fixture
def both(target: Target, table: str, campaign: str) -> None:
    claimed(target, table, campaign, OWNER, range(40))
    claimed(target, table, campaign, OTHER, range(40, 60))


@pytest.mark.parametrize("size", [1, 7, 50])
def test_each_invite_comes_once(target: Target, table: str, campaign: str, both: None, size: int) -> None:
    before = datetime.now(UTC) - timedelta(minutes=5)
    found = paged(LedgerPlace(target.database(), campaign, table=table), size=size)
    assert sorted(str(row.number) for row in found) == PEOPLE
    by_number = {row.number: row for row in found}
    words = ["accepted", "rejected", "unknown", "claimed"]
    for at, number in enumerate(PEOPLE):
        row = by_number[number]
        assert (row.key, row.outcome, row.position) == (key(at), words[at % 4], None)
        assert row.message_id == (accepted(number).message_id if at % 4 == 0 else None)
        assert row.reason == [None, "no", "no answer", None][at % 4]
        assert row.at is not None
        assert row.at > before


def test_what_became_of_an_invite_stands_beside_it(target: Target, table: str, campaign: str, both: None) -> None:
    place = LedgerPlace(target.database(), campaign, table=table)
    first = next(iter(place.deliveries().unfinished()))
    place.deliveries().record([FinalStatus(first, Delivery.DELIVERED, 5, "DELIVERED_TO_HANDSET", None, None, None)])
    place.close()
    found = {row.number: row.delivery for row in paged(LedgerPlace(target.database(), campaign, table=table))}
    assert found == {number: "delivered" if number == first.row else None for number in PEOPLE}


def test_a_task_shows_what_it_claimed_itself(target: Target, table: str, campaign: str, both: None) -> None:
    for owner, numbers in [(OWNER, PEOPLE[:40]), (OTHER, PEOPLE[40:]), ("dag/run/task", []), ("", [])]:
        pages = LedgerPlace(target.database(), campaign, owner, table)
        assert sorted(str(row.number) for row in paged(pages, size=7)) == numbers, owner
    assert paged(LedgerPlace(target.database(), "another", table=table)) == []


def test_rows_are_filtered_and_searched(target: Target, table: str, campaign: str, both: None) -> None:
    pages = LedgerPlace(target.database(), campaign, OWNER, table)
    for outcome in ("accepted", "rejected", "unknown", "claimed"):
        assert {row.outcome for row in paged(pages, outcome=outcome, size=3)} == {outcome}
        assert len(paged(pages, outcome=outcome, size=3)) == 10
    assert paged(pages, outcome="no such") == []
    assert len(paged(pages, reason_code="read_timeout", size=3)) == 10
    assert len(paged(pages, status=accepted(PEOPLE[0]).status.name, outcome="accepted")) == 10
    assert paged(pages, status="OTHER") == []
    for at in range(4):
        assert [row.number for row in paged(pages, search=key(at))] == [PEOPLE[at]], key(at)
    assert [row.key for row in paged(pages, search="%")] == ["100%"]
    assert [row.key for row in paged(pages, search=PEOPLE[5])] == ["c5"]


def test_those_over_the_frequency_cap_are_suppressed_as_in_the_results(
    target: Target, table: str, campaign: str
) -> None:
    claimed(target, table, campaign, OWNER, range(2))
    later = f"{campaign}-later"
    ledger = SqlLedger(target.database(), later, OWNER, table)
    people = [Claim(recipient_key(later, PEOPLE[at]), PEOPLE[at], key(at)) for at in range(3)]
    CappedLedger(ledger, FrequencyCap(1, timedelta(days=1))).claim(people, CERTAINLY_NOT_SENT)
    ledger.record({people[2].recipient: Entry.now(Outcome.NOT_SENT, reason=why("down"))})
    ledger.flush()
    ledger.close()
    pages = LedgerPlace(target.database(), later, OWNER, table)
    assert "suppressed" in pages.lists
    for order in ("list", "outcome"):
        found = {at: [row.key for row in paged(pages, outcome=at, order=order)] for at in ("suppressed", "not_sent")}
        assert found == {"suppressed": ["100%"], "not_sent": ["ÄPFEL"]}
    rows = paged(pages, order="outcome")
    assert [row.outcome for row in rows] == ["claimed", "not_sent", "suppressed"]
    assert LedgerAudit(target.database(), table).reasons(later) == Counter(
        (row.outcome, row.reason_code) for row in rows
    )


def test_an_open_claim_of_a_task_that_has_ended_is_in_doubt(
    target: Target, table: str, campaign: str, both: None
) -> None:
    pages = LedgerPlace(target.database(), campaign, OWNER, table, has_ended=True)
    doubts = paged(pages, outcome="unknown", size=3)
    assert Counter((row.outcome, row.reason_code) for row in doubts) == {
        ("unknown", "read_timeout"): 10,
        ("unknown", "claim_never_ended"): 10,
    }
    assert {row.outcome for row in paged(pages)} == {"accepted", "rejected", "unknown"}
    assert len(paged(pages, outcome="unknown", reason_code="claim_never_ended", size=3)) == 10


@pytest.mark.parametrize("is_descending", [False, True])
@pytest.mark.parametrize(("order", "column"), [("key", "key"), ("outcome", "outcome"), ("time", "at")])
def test_rows_are_sorted(
    target: Target, table: str, campaign: str, both: None, order: Order, column: str, is_descending: bool
) -> None:
    found = paged(
        LedgerPlace(target.database(), campaign, table=table), order=order, is_descending=is_descending, size=7
    )
    assert sorted(str(row.number) for row in found) == PEOPLE
    # Open claims have no outcome in the table.
    values = ["" if (value := getattr(row, column)) == "claimed" else value for row in found]
    assert values == sorted(values, reverse=is_descending)


def test_a_number_that_was_forgotten_is_not_shown(target: Target, table: str, campaign: str, both: None) -> None:
    admin = LedgerAdmin(target.database(), table)
    admin.forget(PEOPLE[0])
    admin.close()
    (row,) = [row for row in paged(LedgerPlace(target.database(), campaign, table=table)) if row.number is None]
    assert PEOPLE[0] not in str(row)


@pytest.mark.parametrize("after", ["-5", "../../etc/passwd:0", "1; DROP TABLE x"])
def test_a_place_that_no_page_gave_is_the_beginning(
    target: Target, table: str, campaign: str, both: None, after: str
) -> None:
    assert len(paged(LedgerPlace(target.database(), campaign, table=table), after=after)) == 60


@pytest.mark.parametrize("after", ["60", str(2**40), pytest.param(str(10**250), id="10**250")])
def test_far_behind_the_end_is_nothing(target: Target, table: str, campaign: str, both: None, after: str) -> None:
    assert LedgerPlace(target.database(), campaign, table=table).page(PageQuery(after=after)) == ([], None, None)


def test_what_cannot_be_read_says_so(target: Target, table: str) -> None:
    pages = LedgerPlace(target.database(), "c", table=table)
    assert (pages.sorts, pages.location.startswith(f"table {table}")) == (True, True)
    with pytest.raises(PageError, match=f"The ledger table {table}.* cannot be read"):
        pages.page(PageQuery(search="41793020001"))
    with pytest.raises(PlaceError, match="must be named table or schema"):
        LedgerPlace(target.database(), "c", table="a; DROP TABLE b")
