"""What people change in the ledger's table: doubts, numbers that are to be forgotten, campaigns that are over."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_omnichat.api.identity import recipient_key
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.campaign.ledger.admin import LedgerAdmin
from airflow_provider_omnichat.campaign.ledger.audit import LedgerAudit
from airflow_provider_omnichat.campaign.ledger.interface import (
    CERTAINLY_NOT_SENT,
    IN_DOUBT,
    Claim,
    Entry,
    LedgerError,
    Settlement,
)
from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from tests.support.ledger_homes import accepted
from tests.support.sql_servers import Target
from tests.support.sql_spies import Spied

NUMBERS = [f"4179302{i:04d}" for i in range(4)]
LOST = Reason(ReasonCode.READ_TIMEOUT, "no answer")
OWNER = "dag/run/task"
# Argentina's mobiles have two writings, and the ledger knows both as one.
TWO_WRITINGS = ("5491123456789", "541123456789")


def claims_of(campaign: str, *numbers: str) -> list[Claim]:
    return [Claim(recipient_key(campaign, number), number, f"C-{number[-2:]}") for number in numbers]


def sent(target: Target, table: str, campaign: str, outcomes: dict[str, Outcome | None]) -> None:
    ledger = SqlLedger(target.database(), campaign, OWNER, table)
    claims = claims_of(campaign, *outcomes)
    ledger.claim(claims, CERTAINLY_NOT_SENT)
    ledger.record(
        {
            claim.recipient: Entry.now(outcome, accepted(number) if outcome is Outcome.ACCEPTED else None, LOST)
            for claim, (number, outcome) in zip(claims, outcomes.items(), strict=True)
            if outcome
        }
    )
    ledger.flush()
    ledger.close()


def settlement(was_sent: bool) -> Settlement:
    return Settlement(was_sent, "ann", "as the portal says", datetime.now(UTC))


def by_outcome(target: Target, table: str, campaign: str) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for (outcome, _), count in LedgerAudit(target.database(), table).reasons(campaign).items():
        counts[outcome] += count
    return dict(counts)


class TestSettle:
    def test_who_when_why_and_the_first_reason_are_in_the_row(self, target: Target, table: str) -> None:
        sent(target, table, "c", dict.fromkeys(NUMBERS[:2], Outcome.UNKNOWN))
        admin = LedgerAdmin(target.database(), table)
        assert admin.settle("c", {NUMBERS[0]: settlement(True), NUMBERS[1]: settlement(False)}) == {}
        admin.close()
        rows = target.run(
            f"SELECT outcome, reason_code, error, settled_as, settled_by, settled_why FROM {table} ORDER BY recipient"
        )
        kept = ("read_timeout", "no answer")
        assert rows == [
            ("accepted", *kept, "sent", "ann", "as the portal says"),
            ("not_sent", *kept, "not_sent", "ann", "as the portal says"),
        ]

    def test_who_settled_it_stays_when_it_was_sent_again(self, target: Target, table: str) -> None:
        sent(target, table, "c", {NUMBERS[0]: Outcome.UNKNOWN})
        admin = LedgerAdmin(target.database(), table)
        admin.settle("c", {NUMBERS[0]: settlement(False)})
        admin.close()
        sent(target, table, "c", {NUMBERS[0]: Outcome.ACCEPTED})
        (row,) = LedgerAudit(target.database(), table).rows("c")
        assert (row.outcome, row.message_id, row.settled_as) == (
            "accepted",
            accepted(NUMBERS[0]).message_id,
            "not_sent",
        )
        later = SqlLedger(target.database(), "c", OWNER, table)
        (entry,) = later.find(claims_of("c", NUMBERS[0])).values()
        later.close()
        assert (entry.outcome, entry.settlement) == ("accepted", None)

    def test_nothing_of_a_call_is_written_twice_when_its_commit_arrived_and_the_connection_broke(
        self, target: Target, table: str
    ) -> None:
        sent(target, table, "c", {NUMBERS[0]: Outcome.UNKNOWN})
        failures = [OSError("the connection broke")]

        def break_once() -> None:
            if failures:
                raise failures.pop()

        admin = LedgerAdmin(target.database(lambda connection: Spied(connection, after_commit=break_once)), table)
        assert admin.settle("c", {NUMBERS[0]: settlement(True)}) == {}
        admin.close()
        assert failures == []
        assert by_outcome(target, table, "c") == {"accepted": 1}

    def test_a_doubt_that_a_task_has_claimed_again_is_refused(self, target: Target, table: str) -> None:
        sent(target, table, "c", {NUMBERS[0]: Outcome.UNKNOWN})
        running = SqlLedger(target.database(), "c", OWNER, table)
        running.claim(claims_of("c", NUMBERS[0]), CERTAINLY_NOT_SENT | IN_DOUBT)
        admin = LedgerAdmin(target.database(), table)
        refused = admin.settle("c", {NUMBERS[0]: settlement(False)})
        assert refused[NUMBERS[0]].startswith("may be being sent right now")
        admin.close()
        running.close()
        assert by_outcome(target, table, "c") == {"claimed": 1}

    def test_a_table_that_is_not_there_is_not_made(self, target: Target, table: str) -> None:
        with pytest.raises(LedgerError, match="cannot be found or made"):
            LedgerAdmin(target.database(), table).settle("c", {NUMBERS[0]: settlement(True)})
        with pytest.raises(LedgerError, match="cannot be read"):
            by_outcome(target, table, "c")


class TestForget:
    def test_a_number_is_erased_everywhere_and_still_gets_no_second_invite(self, target: Target, table: str) -> None:
        for campaign in ("spring", "summer"):
            sent(target, table, campaign, {NUMBERS[0]: Outcome.ACCEPTED, NUMBERS[1]: Outcome.ACCEPTED})
        admin = LedgerAdmin(target.database(), table)
        assert admin.forget(NUMBERS[0]) == 2
        assert admin.forget(NUMBERS[0]) == 0
        admin.close()
        whole = str(target.run(f"SELECT * FROM {table}"))
        assert NUMBERS[0] not in whole
        assert "C-00" not in whole
        assert NUMBERS[1] in whole
        assert by_outcome(target, table, "spring") == {"accepted": 2}

        later = SqlLedger(target.database(), "spring", OWNER, table)
        claims = claims_of("spring", *NUMBERS[:3])
        for taken in (later.find(claims), later.claim(claims, CERTAINLY_NOT_SENT)):
            entry = taken[claims[0].recipient]
            assert (entry.outcome, entry.reason and entry.reason.code) == ("suppressed", "forgotten")
            assert claims[2].recipient not in taken
        later.close()
        new = SqlLedger(target.database(), "autumn", OWNER, table)
        assert new.claim(claims_of("autumn", NUMBERS[0]), CERTAINLY_NOT_SENT) == {}
        new.close()

    def test_both_writings_of_a_number_are_forgotten(self, target: Target, table: str) -> None:
        sent(target, table, "c", {TWO_WRITINGS[1]: Outcome.ACCEPTED})
        admin = LedgerAdmin(target.database(), table)
        assert admin.forget(TWO_WRITINGS[0]) == 1
        admin.close()
        assert TWO_WRITINGS[1] not in str(target.run(f"SELECT recipient FROM {table}"))

    def test_while_it_may_be_being_sent_nothing_is_erased(self, target: Target, table: str) -> None:
        sent(target, table, "spring", {NUMBERS[0]: Outcome.ACCEPTED})
        sent(target, table, "summer", {NUMBERS[0]: None})
        admin = LedgerAdmin(target.database(), table)
        with pytest.raises(LedgerError, match="of the campaign 'summer' to this number may be being sent right now"):
            admin.forget(NUMBERS[0])
        admin.close()
        assert by_outcome(target, table, "spring") == {"accepted": 1}

    def test_everything_about_a_number_is_given_also_what_is_left_when_it_was_forgotten(
        self, target: Target, table: str
    ) -> None:
        sent(target, table, "spring", {NUMBERS[0]: Outcome.ACCEPTED})
        admin = LedgerAdmin(target.database(), table)
        admin.forget(NUMBERS[0])
        admin.close()
        sent(target, table, "summer", {NUMBERS[0]: Outcome.UNKNOWN, NUMBERS[1]: Outcome.UNKNOWN})
        known = LedgerAudit(target.database(), table).about(NUMBERS[0])
        assert [(row["campaign"], row["outcome"]) for row in known] == [("summer", "unknown"), ("spring", "accepted")]


class TestPrune:
    def test_campaigns_that_are_over_go_whole_and_others_not_at_all(self, target: Target, table: str) -> None:
        for campaign in ("over", "doubtful", "running"):
            sent(target, table, campaign, dict.fromkeys(NUMBERS[:2], Outcome.ACCEPTED))
        sent(target, table, "doubtful", {NUMBERS[2]: None})
        long_ago = "2020-01-01 00:00:00"
        for column in ("claimed_at", "ended_at"):
            where = "WHERE campaign <> 'running' OR recipient = ?"
            target.run(f"UPDATE {table} SET {column} = ? {where}", long_ago, NUMBERS[0])
        before = datetime.now(UTC) - timedelta(days=400)
        ages = LedgerAudit(target.database(), table).campaigns(before)
        assert [(age.campaign, age.invites, age.in_doubt) for age in ages] == [("doubtful", 3, 1), ("over", 2, 0)]
        assert ages[0].last == datetime(2020, 1, 1, tzinfo=UTC)
        listed = LedgerAudit(target.database(), table).campaigns()
        assert [(each.campaign, each.runs) for each in listed] == [("doubtful", 1), ("over", 1), ("running", 1)]
        admin = LedgerAdmin(target.database(), table)
        assert admin.prune([age.campaign for age in ages if not age.in_doubt], before) == 2
        assert admin.prune(["running"], before) == 1  # what is younger stays, whatever is asked for
        admin.close()
        assert by_outcome(target, table, "over") == {}
        assert by_outcome(target, table, "doubtful") == {"accepted": 2, "claimed": 1}
        assert by_outcome(target, table, "running") == {"accepted": 1}


class TestUndo:
    def test_not_sent_is_in_doubt_again_and_no_try_sends_it(self, target: Target, table: str) -> None:
        sent(target, table, "c", dict.fromkeys(NUMBERS[:2], Outcome.UNKNOWN))
        admin, audit = LedgerAdmin(target.database(), table), LedgerAudit(target.database(), table)
        admin.settle("c", {NUMBERS[0]: settlement(False), NUMBERS[1]: settlement(True)})
        assert audit.standings(["c"])["c"][OWNER].settled == {"not_sent": 1, "sent": 1}
        refused = admin.undo("c", NUMBERS[:3], "bob")
        admin.close()
        assert (NUMBERS[0] in refused, "only 'not sent'" in refused[NUMBERS[1]]) == (False, True)
        assert "is not in this campaign" in refused[NUMBERS[2]]
        (doubt,) = audit.doubts("c")
        assert (doubt.recipient, doubt.error) == (NUMBERS[0], "no answer")
        assert doubt.since == "It was settled as not sent by ann, which bob has undone"
        standing = audit.standings(["c", "another"])["c"][OWNER]
        assert (standing.counts, standing.doubts, standing.settled) == (
            {"accepted": 1, "unknown": 1},
            {"read_timeout": 1},
            {"sent": 1},
        )
        assert [row.recipient for row in audit.settled("c", OWNER)] == [NUMBERS[1]]
        ledger = SqlLedger(target.database(), "c", OWNER, table)
        assert len(ledger.claim(claims_of("c", *NUMBERS[:2]), CERTAINLY_NOT_SENT)) == 2
        ledger.close()

    def test_what_a_task_has_claimed_again_is_not_undone(self, target: Target, table: str) -> None:
        sent(target, table, "c", {NUMBERS[0]: Outcome.UNKNOWN})
        admin = LedgerAdmin(target.database(), table)
        admin.settle("c", {NUMBERS[0]: settlement(False)})
        sent(target, table, "c", {NUMBERS[0]: Outcome.NOT_SENT})
        refused = admin.undo("c", [NUMBERS[0]], "bob")
        admin.close()
        assert "claimed it again since" in refused[NUMBERS[0]]
        assert not list(LedgerAudit(target.database(), table).settled("c"))
