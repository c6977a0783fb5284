"""Claims that another task or run has left open: ended once their task has, and never while it may send."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.ledger.interface import CERTAINLY_NOT_SENT, IN_DOUBT, Entry
from airflow_provider_omnichat.campaign.ledger.retake import end_open_claims, refusal_of
from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from tests.support.reasons import why
from tests.support.sql_claims import answer_of, claims_of
from tests.support.sql_servers import Target

CLAIMS = claims_of(3)
(FIRST, *_) = CLAIMS
OTHER = "dag/monday/send"


def age(target: Target, table: str, minutes: int) -> None:
    """Let all claims be so much older."""
    columns = {
        "sqlite": f"strftime('%Y-%m-%d %H:%M:%f', claimed_at, '-{minutes} minutes')",
        "postgresql": f"claimed_at - INTERVAL '{minutes} minutes'",
        "mysql": f"claimed_at - INTERVAL {minutes} MINUTE",
    }
    connection = target.database().connect()
    connection.cursor().execute(f"UPDATE {table} SET claimed_at = {columns[target.dialect]}")
    connection.commit()
    connection.close()


def met_by(later: SqlLedger) -> dict[str, Entry]:
    """What a later run makes of what it cannot claim."""
    return dict(end_open_claims(later, CLAIMS, later.claim(CLAIMS, CERTAINLY_NOT_SENT)))


@pytest.mark.parametrize(
    ("ended", "minutes", "is_closed"),
    [(True, 0, True), (False, 0, False), (None, 0, False), (None, 59, False), (None, 61, True), (False, 61, False)],
)
def test_an_open_claim_is_ended_when_its_task_has_ended_or_after_an_hour(
    ledger: Callable[..., SqlLedger], target: Target, table: str, ended: bool | None, minutes: int, is_closed: bool
) -> None:
    ledger(OTHER).claim(CLAIMS[:2], CERTAINLY_NOT_SENT)
    age(target, table, minutes)
    asked: list[str] = []

    def has_ended(owner: str) -> bool | None:
        asked.append(owner)
        return ended

    taken = met_by(ledger("dag/tuesday/send", has_ended=has_ended))
    assert set(asked) == {OTHER}
    assert {entry.outcome for entry in taken.values()} == ({Outcome.UNKNOWN} if is_closed else {None})
    for entry in (
        taken[FIRST.recipient],
        ledger("dag/wednesday/send", has_ended=has_ended).find(CLAIMS)[FIRST.recipient],
    ):
        refusal = refusal_of(entry)
        assert refusal is not None
        assert (refusal.outcome, refusal.reason.code) == (
            ("unknown", "in_doubt_since_earlier_run") if is_closed else ("duplicate", "being_sent")
        )
        assert OTHER in refusal.reason.detail
        assert (entry.reason and entry.reason.code) == ("claim_never_ended" if is_closed else None)


def test_a_task_that_lives_on_after_all_records_how_it_ended(ledger: Callable[..., SqlLedger]) -> None:
    alive = ledger(OTHER)
    alive.claim(CLAIMS, CERTAINLY_NOT_SENT)
    assert met_by(ledger("later", has_ended=lambda _: True))[FIRST.recipient].outcome is Outcome.UNKNOWN
    alive.record({FIRST.recipient: Entry.now(Outcome.ACCEPTED, answer_of())})
    alive.flush()
    assert ledger("later").find(CLAIMS)[FIRST.recipient].outcome is Outcome.ACCEPTED


def test_a_claim_that_its_task_makes_anew_while_airflow_is_asked_stays_open(ledger: Callable[..., SqlLedger]) -> None:
    ledger(OTHER).claim(CLAIMS, CERTAINLY_NOT_SENT)

    def has_ended(_: str) -> bool:
        again = ledger(OTHER)  # it had ended, and was cleared at this moment
        assert again.claim(CLAIMS[:1], CERTAINLY_NOT_SENT | IN_DOUBT) == {}
        return True

    taken = met_by(ledger("later", has_ended=has_ended))
    assert [taken[claim.recipient].outcome for claim in CLAIMS] == [None, Outcome.UNKNOWN, Outcome.UNKNOWN]


def test_what_ended_while_airflow_is_asked_is_told_as_it_ended(ledger: Callable[..., SqlLedger]) -> None:
    other = ledger(OTHER)
    other.claim(CLAIMS, CERTAINLY_NOT_SENT)

    @cache
    def has_ended(_: str) -> bool:
        other.record({FIRST.recipient: Entry.now(Outcome.NOT_SENT, reason=why("HTTP 429"))})
        other.flush()
        return False

    entry = met_by(ledger("later", has_ended=has_ended))[FIRST.recipient]
    assert (entry.outcome, refusal_of(entry)) == (Outcome.NOT_SENT, None)


@pytest.mark.parametrize(
    ("outcome", "given", "expected"),
    [
        (Outcome.ACCEPTED, None, ("duplicate", "accepted_earlier", "already invited in this campaign: d/r/t at ")),
        (Outcome.REJECTED, why("no"), ("duplicate", "rejected_earlier", " UTC: no")),
        (Outcome.UNKNOWN, why("lost"), ("unknown", "in_doubt_since_earlier_run", " UTC: lost")),
        (None, None, ("duplicate", "being_sent", "another task of this campaign is sending it now: d/r/t at ")),
        (Outcome.SUPPRESSED, why("gone"), ("suppressed", why("gone").code, "gone")),
    ],
)
def test_each_end_has_a_reason_of_its_own(outcome: Any, given: Any, expected: tuple[str, str, str]) -> None:
    refusal = refusal_of(Entry.now(outcome, reason=given)._replace(same_task=False, owner="d/r/t"))
    assert refusal is not None
    assert (refusal.outcome, refusal.reason.code) == expected[:2]
    assert expected[2] in str(refusal.reason)
