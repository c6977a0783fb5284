"""How a campaign stands, read from the table and from nowhere else."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args
from uuid import uuid4

import pytest

from airflow_provider_omnichat.api.identity import recipient_key
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.campaign.ledger.admin import LedgerAdmin
from airflow_provider_omnichat.campaign.ledger.audit import LedgerAudit, Order
from airflow_provider_omnichat.campaign.ledger.interface import (
    CERTAINLY_NOT_SENT,
    Claim,
    Entry,
    LedgerError,
    Settlement,
)
from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from tests.support.ledger_homes import accepted
from tests.support.sql_servers import Target, postgresql

PEOPLE = [f"4179303{i:04d}" for i in range(12)]
NUMBERS = [f"4179302{i:04d}" for i in range(5)]


@pytest.fixture(scope="module")
def server():
    with postgresql() as options:
        yield options


@pytest.fixture(params=["sqlite3", "psycopg2", "psycopg"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    if request.param == "sqlite3":
        return Target("sqlite", "sqlite3", {"database": str(tmp_path / "ledger.sqlite")})
    return Target("postgresql", request.param, request.getfixturevalue("server"))


def test_a_campaign_is_counted_and_its_doubts_are_listed_by_row(target):
    campaign, other = f"welcome-{target.driver}", f"other-{target.driver}"
    before = datetime.now(UTC)
    for name in (campaign, other):
        ledger = SqlLedger(target.database(), name, "dag/run/task")
        claims = [Claim(recipient_key(name, number), number, f"C-{number[-1]}") for number in NUMBERS]
        ledger.claim(claims, CERTAINLY_NOT_SENT)
        outcomes = [Outcome.ACCEPTED, Outcome.ACCEPTED, Outcome.REJECTED, Outcome.UNKNOWN]
        lost = Reason(ReasonCode.READ_TIMEOUT, "no answer")
        reasons = [None, None, Reason(ReasonCode.REJECTED_BY_VENDOR, "no"), lost]
        ledger.record(
            {
                claim.recipient: Entry.now(outcome, reason=reason)
                for claim, outcome, reason in zip(claims, outcomes, reasons, strict=False)
            }
        )
        ledger.flush()
        ledger.close()
    audit = LedgerAudit(target.database())
    assert audit.reasons(campaign) == {
        ("accepted", None): 2,
        ("rejected", "rejected_by_vendor"): 1,
        ("unknown", "read_timeout"): 1,
        ("claimed", None): 1,
    }
    unknown, claimed = audit.doubts(campaign)
    assert (unknown.recipient, unknown.row_key, unknown.outcome) == (NUMBERS[3], "C-3", "unknown")
    assert (unknown.reason_code, unknown.error) == ("read_timeout", "no answer")
    assert (claimed.row_key, claimed.outcome, claimed.reason_code) == ("C-4", "claimed", None)
    assert before <= claimed.claimed_at <= datetime.now(UTC)
    assert audit.reasons("nobody's") == {}


def many(target: Target) -> tuple[LedgerAudit, str]:
    """Twelve people: every third is rejected, one is in doubt, one was settled."""
    campaign = f"pages-{uuid4().hex}"
    ledger = SqlLedger(target.database(), campaign, "dag/run/task")
    claims = [Claim(recipient_key(campaign, n), n, f"Key_{i:02d}") for i, n in enumerate(PEOPLE)]
    for part in (claims[:7], claims[7:]):
        ledger.claim(part, CERTAINLY_NOT_SENT)
    rejected, lost = Reason(ReasonCode.REJECTED_BY_VENDOR, "no"), Reason(ReasonCode.READ_TIMEOUT, "no answer")
    for i, claim in enumerate(claims[:-1]):
        outcome = Outcome.UNKNOWN if i in (1, 2) else Outcome.REJECTED if i % 3 == 0 else Outcome.ACCEPTED
        reason = {Outcome.UNKNOWN: lost, Outcome.REJECTED: rejected}.get(outcome)
        ledger.record({claim.recipient: Entry.now(outcome, accepted(claim.identity) if not reason else None, reason)})
    ledger.flush()
    ledger.close()
    admin = LedgerAdmin(target.database())
    assert admin.settle(campaign, {PEOPLE[2]: Settlement(True, "ann", "seen", datetime.now(UTC))}) == {}
    admin.close()
    return LedgerAudit(target.database()), campaign


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("order", get_args(Order))
def test_pages_hold_each_row_once_in_every_order(target, order, descending):
    audit, campaign = many(target)
    whole = audit.rows(campaign, order=order, descending=descending)
    assert sorted(row.recipient for row in whole) == PEOPLE
    by_offset = [
        row
        for at in range(0, 15, 5)
        for row in audit.rows(campaign, order=order, descending=descending, limit=5, offset=at)
    ]
    assert by_offset == whole
    by_key, last = [], None
    while page := audit.rows(campaign, order=order, descending=descending, limit=5, after=last):
        by_key += page
        last = page[-1]
    assert by_key == whole
    if order == "row_key":
        keys = [str(row.row_key) for row in whole]
        assert keys == sorted(keys, reverse=descending)


def test_rows_are_filtered_and_searched(target):
    audit, campaign = many(target)

    def keys(**which: Any) -> list[str]:
        return [str(row.row_key)[-2:] for row in audit.rows(campaign, **which)]

    assert keys(outcome="rejected") == ["00", "03", "06", "09"]
    assert keys(outcome="claimed") == ["11"]
    assert (
        keys(outcome=["unknown", "claimed"])
        == ["01", "11"]
        == [str(row.row_key)[-2:] for row in audit.doubts(campaign)]
    )
    assert keys(reason="read_timeout") == ["01", "02"]
    assert keys(search="KEY_0", outcome="accepted") == ["02", "04", "05", "07", "08"]
    assert keys(search="+" + PEOPLE[3]) == ["03"]
    assert keys(search="y_1") == ["10", "11"]
    assert keys(search="%") == keys(search="__") == keys(search="'; --") == []
    (row,) = audit.find(campaign, "Key_02")
    assert (row.outcome, row.reason_code, row.settled_as, row.settled_by, row.settled_why) == (
        "accepted",
        "read_timeout",
        "sent",
        "ann",
        "seen",
    )
    assert row.updated > row.claimed_at
    assert audit.rows(campaign, search="Key_04")[0].message_id == accepted(PEOPLE[4]).message_id


def test_a_table_that_is_not_there_is_not_made(target):
    audit = LedgerAudit(target.database(), "elsewhere")
    for _ in range(2):
        with pytest.raises(LedgerError, match="The ledger table elsewhere cannot be read"):
            audit.reasons("c")
