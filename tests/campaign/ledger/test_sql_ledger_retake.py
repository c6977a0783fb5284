"""Which claims of a SQL ledger may be taken again, and by whom."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.ledger.interface import CERTAINLY_NOT_SENT, IN_DOUBT, Claim, Entry
from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from tests.support.reasons import why
from tests.support.sql_claims import answer_of, claims_of
from tests.support.sql_servers import Target


class TestRetake:
    def ended(self, sut: SqlLedger, outcome: Outcome | None) -> Claim:
        (claim,) = claims_of(1)
        sut.claim([claim], CERTAINLY_NOT_SENT)
        if outcome is not None:
            sut.record({claim.recipient: Entry.now(outcome, answer_of(), why("why"))})
            sut.flush()
        return claim

    @pytest.mark.parametrize("outcome", [Outcome.NOT_SENT, Outcome.HELD])
    @pytest.mark.parametrize("owner", ["dag/run/task/-1", "another"])
    def test_what_was_certainly_not_sent_is_anybodys(
        self, ledger: Callable[..., SqlLedger], outcome: Outcome, owner: str, target: Target, table: str
    ) -> None:
        claim = self.ended(ledger(), outcome)
        assert ledger(owner).claim([claim], CERTAINLY_NOT_SENT) == {}
        kept = ledger(owner).claim([claim], CERTAINLY_NOT_SENT)[claim.recipient]
        assert kept.outcome is None
        assert kept.same_task
        assert kept.reason is None
        assert kept.answer is None
        assert target.run(f"SELECT message_id, status_id, ended_at FROM {table}") == [(None, None, None)]

    @pytest.mark.parametrize("outcome", [Outcome.ACCEPTED, Outcome.REJECTED, Outcome.UNKNOWN, None])
    def test_everything_else_is_kept(self, ledger: Callable[..., SqlLedger], outcome: Outcome | None) -> None:
        claim = self.ended(ledger(), outcome)
        for owner in ("dag/run/task/-1", "another"):
            assert ledger(owner).claim([claim], CERTAINLY_NOT_SENT)[claim.recipient].outcome is outcome

    @pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, None])
    def test_doubt_is_retaken_only_by_the_same_task_and_only_on_request(
        self, ledger: Callable[..., SqlLedger], outcome: Outcome | None
    ) -> None:
        claim = self.ended(ledger(), outcome)
        kept = ledger("another").claim([claim], CERTAINLY_NOT_SENT | IN_DOUBT)[claim.recipient]
        assert kept.outcome is outcome
        assert not kept.same_task
        assert ledger().claim([claim], CERTAINLY_NOT_SENT | IN_DOUBT) == {}

    def test_only_what_was_asked_for_is_retaken(self, ledger: Callable[..., SqlLedger]) -> None:
        claim = self.ended(ledger(), Outcome.NOT_SENT)
        assert claim.recipient in ledger().claim([claim], [])
        assert claim.recipient in ledger().claim([claim], [Outcome.HELD])
        assert claim.recipient in ledger().claim([claim], [None])
        assert ledger().claim([claim], [Outcome.NOT_SENT]) == {}

    def test_an_open_claim_of_another_run_that_began_earlier_or_later_is_not_taken_from_it(
        self, ledger: Callable[..., SqlLedger]
    ) -> None:
        first, second = ledger(), ledger()
        (claim,) = claims_of(1)
        assert first.claim([claim], CERTAINLY_NOT_SENT | IN_DOUBT) == {}
        assert claim.recipient in second.claim([claim], CERTAINLY_NOT_SENT | IN_DOUBT)
        assert claim.recipient in first.claim([claim], CERTAINLY_NOT_SENT | IN_DOUBT)
