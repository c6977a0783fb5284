"""How a task stands in its state store, as a page counts it, and what a wrong settlement leaves when it is undone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.ledger.interface import CERTAINLY_NOT_SENT, Entry, Settlement
from airflow_provider_omnichat.campaign.ledger.task_state import StateStoreLedger
from airflow_provider_omnichat.campaign.ledger.task_state_doubts import (
    HASH_DIGITS,
    settle_in_store,
    standing_in_store,
    undo_in_store,
)
from airflow_provider_omnichat.campaign.ledger.task_state_journal import StateStoreJournal
from tests.support.ledger_homes import NUMBERS, claims
from tests.support.reasons import why
from tests.support.state_store import ListedStore, Store

PEOPLE = claims(NUMBERS[:4])
NAMES = [person.recipient[:HASH_DIGITS] for person in PEOPLE]


def ledger_of(kind: str, store: Store) -> Any:
    return StateStoreJournal(store, "c") if kind == "batch" else StateStoreLedger(store)


@pytest.fixture(params=["batch", "single"])
def store(request: pytest.FixtureRequest) -> tuple[str, Store, ListedStore]:
    """One accepted, two in doubt, one claimed by a try that was killed."""
    store = Store()
    ledger = ledger_of(request.param, store)
    ledger.claim(PEOPLE, ())
    outcomes = [Outcome.ACCEPTED, Outcome.UNKNOWN, Outcome.UNKNOWN]
    ledger.record(
        {
            person.recipient: Entry.now(outcome, reason=why("no answer came") if outcome is Outcome.UNKNOWN else None)
            for person, outcome in zip(PEOPLE, outcomes, strict=False)
        }
    )
    ledger.flush()
    return request.param, store, ListedStore(store)


def settle(store: ListedStore, *people: int, was_sent: bool = False) -> dict[str, str]:
    what = Settlement(was_sent, "ann", "as the portal says", datetime.now(UTC))
    recipients = [PEOPLE[at].recipient for at in people]
    return settle_in_store(store, "c", dict.fromkeys(recipients, what), no_try_runs=True)


def counts(store: ListedStore) -> tuple[dict[str, int], dict[str, int], int]:
    standing, settled = standing_in_store(store, "c")
    assert standing.settled.total() == len(settled)
    return dict(standing.counts), dict(standing.settled), standing.doubts.total()


def test_open_claims_and_doubts_are_counted(store: tuple[str, Store, ListedStore]) -> None:
    assert counts(store[2]) == ({"accepted": 1, "unknown": 2, "claimed": 1}, {}, 3)


def test_several_are_settled_at_once_and_counted_as_what_they_are(store: tuple[str, Store, ListedStore]) -> None:
    assert settle(store[2], 1, 3) == {}
    assert settle(store[2], 2, was_sent=True) == {}
    assert "is not in doubt" in settle(store[2], 0)[PEOPLE[0].recipient]
    assert counts(store[2]) == ({"accepted": 2, "not_sent": 2}, {"not_sent": 2, "sent": 1}, 0)


def test_not_sent_is_undone_and_no_try_sends_it(store: tuple[str, Store, ListedStore]) -> None:
    kind, raw, listed = store
    settle(listed, 1, 2)
    assert undo_in_store(listed, "c", [PEOPLE[1].recipient], "bob") == {}
    assert counts(listed)[0]["unknown"] == 1
    taken = ledger_of(kind, raw).claim(PEOPLE, CERTAINLY_NOT_SENT)
    assert PEOPLE[1].recipient in taken
    assert PEOPLE[2].recipient not in taken
    # It can be settled again, as what it is.
    assert settle(listed, 1, was_sent=True) == {}


def test_what_was_settled_as_sent_or_claimed_again_is_not_undone(store: tuple[str, Store, ListedStore]) -> None:
    kind, raw, listed = store
    settle(listed, 1)
    settle(listed, 2, was_sent=True)
    ledger = ledger_of(kind, raw)
    ledger.claim(PEOPLE, CERTAINLY_NOT_SENT)
    ledger.flush()
    refused = undo_in_store(listed, "c", [person.recipient for person in PEOPLE[:3]], "bob")
    assert "claimed it again since" in refused[PEOPLE[1].recipient]
    assert "only 'not sent' can be undone" in refused[PEOPLE[2].recipient]
    assert "was not settled" in refused[PEOPLE[0].recipient]
