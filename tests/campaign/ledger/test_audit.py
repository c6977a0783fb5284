"""How a campaign stands, read from the table and from nowhere else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.campaign.ledger.audit import LedgerAudit
from airflow_provider_omnichat.campaign.ledger.interface import CERTAINLY_NOT_SENT, Claim, Entry, LedgerError
from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from airflow_provider_omnichat.campaign.phone.identity import recipient_key
from tests.support.sql_servers import Target, postgresql

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
    assert audit.counts(campaign) == {"accepted": 2, "rejected": 1, "unknown": 1, "claimed": 1}
    unknown, claimed = audit.doubts(campaign)
    assert (unknown.recipient, unknown.row_key, unknown.outcome) == (NUMBERS[3], "C-3", "unknown")
    assert (unknown.reason_code, unknown.error) == ("read_timeout", "no answer")
    assert (claimed.row_key, claimed.outcome, claimed.reason_code) == ("C-4", "claimed", None)
    assert abs(datetime.now(UTC) - claimed.claimed_at) < timedelta(minutes=5)
    assert audit.counts("nobody's") == {}


def test_a_table_that_is_not_there_is_not_made(target):
    audit = LedgerAudit(target.database(), "elsewhere")
    for _ in range(2):
        with pytest.raises(LedgerError, match="The ledger table elsewhere cannot be read"):
            audit.counts("c")
