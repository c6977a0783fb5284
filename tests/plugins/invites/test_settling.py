"""Settling reaches what the task itself has claimed, and nothing else, whatever its XCom says."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from airflow_provider_omnichat.api.identity import recipient_key
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.ledger.audit import LedgerAudit
from airflow_provider_omnichat.campaign.ledger.interface import Entry
from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from airflow_provider_omnichat.campaign.ledger.task_state_journal import StateStoreJournal
from airflow_provider_omnichat.campaign.model.place import NoPlace
from airflow_provider_omnichat.hooks.databases import ledger_database
from airflow_provider_omnichat.plugins.invites.access import reference_of
from airflow_provider_omnichat.plugins.invites.doubts import doubts_of
from airflow_provider_omnichat.plugins.invites.settling import NotSettledError, SettleBody, settle
from tests.support.airflow_versions import HAS_STATE_STORE
from tests.support.plugin_tasks import sending
from tests.support.sql_claims import CAMPAIGN, claims_of
from tests.support.state_store import ListedStore, Store

OWN, OTHERS = claims_of(2)


@pytest.fixture(autouse=True)
def secret_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__SECRET_KEY", "a key of this test")


class Metadata:
    """A session to the metadata database that knows the state of one task; remembers when it was locked."""

    def __init__(self, state: str | None = "failed", end: datetime | None = None) -> None:
        self.state, self.end, self.is_locked = state, end, False

    def execute(self, _: object) -> Metadata:
        self.is_locked = True
        return self

    def one(self) -> tuple[str | None, datetime | None]:
        return self.state, self.end


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LedgerAudit:
    """A table in which two tasks of two DAGs have a doubt each."""
    fields = {"conn_type": "sqlite", "host": str(tmp_path / "ledger.db")}
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps(fields))
    database = ledger_database("ledger")
    for claim, owner in ((OWN, "invites/run/invite"), (OTHERS, "theirs/run/invite")):
        ledger = SqlLedger(database, CAMPAIGN, owner)
        ledger.claim([claim], ())
        ledger.record({claim.recipient: Entry.now(Outcome.UNKNOWN)})
        ledger.flush()
        ledger.close()
    return LedgerAudit(database)


def settled(
    session: Metadata, recipient: str, conn_id: str = "ledger", table: str | None = None, settled_as: Any = "not_sent"
) -> str:
    """Settle as not sent; give why it was refused."""
    rendered = {"ledger_conn_id": conn_id, "ledger_table": table}
    task = sending(campaign=CAMPAIGN, rendered=rendered)
    assert task is not None
    metadata: Any = session
    body = SettleBody(recipients=[reference_of(recipient)], settled_as=settled_as, why="seen in the portal")
    try:
        answer = settle(metadata, task, body, by="anna")
    except NotSettledError as refusal:
        return str(refusal)
    assert bool(answer.names) != bool(answer.refused)
    return "".join(answer.refused.values())


def doubts(ledger: LedgerAudit) -> list[str]:
    return sorted(recipient_key(CAMPAIGN, row.recipient) for row in ledger.doubts(CAMPAIGN))


def test_a_doubt_claimed_again_and_not_sent_keeps_the_time_of_its_first_claim(
    ledger: LedgerAudit, tmp_path: Path
) -> None:
    with sqlite3.connect(tmp_path / "ledger.db") as database:
        database.execute("UPDATE omnichat_invites SET first_at = '2026-11-30 08:00', ended_at = '2026-11-30 08:01'")
    task, metadata, place = sending(campaign=CAMPAIGN, rendered={"ledger_conn_id": "ledger"}), Metadata(), NoPlace()
    (doubt,) = doubts_of(metadata, task, place).rows  # type: ignore[arg-type]
    assert f"{doubt.at:%H:%M}" == "08:00"


def test_what_another_task_of_the_campaign_has_claimed_is_not_settled(ledger: LedgerAudit) -> None:
    assert "is not in doubt" in settled(Metadata(), OTHERS.recipient)
    assert doubts(ledger) == sorted([OWN.recipient, OTHERS.recipient])
    assert settled(Metadata(), OWN.recipient) == ""
    assert doubts(ledger) == [OTHERS.recipient]


@pytest.mark.parametrize("state", ["running", "deferred", "queued", "scheduled", "restarting"])
def test_of_a_task_at_work_nothing_is_settled(ledger: LedgerAudit, state: str) -> None:
    session = Metadata(state)
    assert "is at work" in settled(session, OWN.recipient)
    assert session.is_locked
    assert len(doubts(ledger)) == 2


def test_the_row_of_the_task_is_not_locked_while_the_ledger_is_searched(ledger: LedgerAudit) -> None:
    session = Metadata()
    settled(session, "0" * 20)
    assert not session.is_locked


@pytest.mark.parametrize(("conn_id", "table"), [("nowhere", None), ("ledger", "no table; at all")])
def test_a_ledger_that_cannot_be_reached_is_a_refusal(ledger: LedgerAudit, conn_id: str, table: str | None) -> None:
    assert "cannot reach the ledger" in settled(Metadata(), OWN.recipient, conn_id, table)


@pytest.mark.parametrize("name", ["dag_id", "run_id", "task_id", "map_index"])
def test_a_body_names_no_task_since_the_audit_log_would_believe_it(name: str) -> None:
    body = {"recipients": ["0" * 32], "settled_as": "sent", "why": "seen in the portal"}
    assert SettleBody.model_validate(body).settled_as == "sent"
    with pytest.raises(ValidationError):
        SettleBody.model_validate({**body, name: "another"})


def test_what_is_blank_says_not_how_somebody_knows() -> None:
    body = {"recipients": ["0" * 32], "settled_as": "sent", "why": "  a call  "}
    assert SettleBody.model_validate(body).why == "a call"
    for blank in ("", "    ", "\n\n\n\n", " x  "):
        with pytest.raises(ValidationError):
            SettleBody.model_validate({**body, "why": blank})


@pytest.mark.skipif(not HAS_STATE_STORE, reason="the task state store came with Airflow 3.3")
@pytest.mark.parametrize(("minutes", "is_settled"), [(None, False), (0, False), (4, False), (6, True)])
def test_a_claim_of_a_worker_that_may_still_send_is_not_settled(
    monkeypatch: pytest.MonkeyPatch, minutes: int | None, is_settled: bool
) -> None:
    from airflow_provider_omnichat.plugins.invites import settling

    store = Store()
    journal = StateStoreJournal(store, CAMPAIGN)
    journal.claim([OWN], ())
    journal.flush()
    monkeypatch.setattr(settling, "ServerSideStore", lambda *_: ListedStore(store))
    end = None if minutes is None else datetime.now(UTC) - timedelta(minutes=minutes)
    refusal = settled(Metadata(end=end), OWN.recipient[:20], conn_id="")
    assert bool(refusal) != is_settled
    assert is_settled or "may be being sent right now" in refusal
